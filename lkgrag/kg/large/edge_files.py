"""Edges in Parquet files, part by part: counted, written, and read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.kg.base import Edges
from lkgrag.kg.large.behaviour import (
    both_ways,
    follow_rows,
    followed,
    meet_rows,
    met,
    strongest,
)
from lkgrag.kg.sources.co_rated import SHRINKAGE as MEET
from lkgrag.kg.sources.followed_by import SHRINKAGE as FOLLOW
from lkgrag.utils.duck import known
from lkgrag.utils.files import atomic
from lkgrag.utils.key_counts import kept_ranges
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    from lkgrag.config import KGConfig
    from lkgrag.kg.large.histories import Histories

#: Columns of a file of edges between items. ``time`` is null without ``kg.temporal``.
SCHEMA = pa.schema(
    {
        "source": pa.int32(),
        "target": pa.int32(),
        "weight": pa.float32(),
        "count": pa.int64(),
        "time": pa.float64(),
    }
)
#: Bytes of a pair in both directions while the strongest are found.
PAIR_BYTES = 128


def part(folder: Path, number: int) -> Path:
    """A part of a table."""
    return folder / f"part-{number:05}.parquet"


def write_edges(path: Path, blocks: Iterable[Edges], names: tuple[str, str] | None = None) -> int:
    """Write edges block by block, atomically.

    Args:
        path: of the file.
        blocks: edges in their order.
        names: of the columns of source and target, where they are others.

    Returns:
        The number of edges.
    """
    first = names or ("source", "target")
    schema = pa.schema(
        [f.with_name(n) for f, n in zip(SCHEMA, [*first, *SCHEMA.names[2:]], strict=True)]
    )
    total = 0
    with atomic(path) as tmp, pq.ParquetWriter(tmp, schema, compression="zstd") as writer:
        for edges in blocks:
            time = np.full(len(edges), np.nan) if edges.time is None else edges.time
            columns = [*edges.index.astype(np.int32), edges.weight, edges.count, time]
            writer.write_table(pa.table([known(c) for c in columns], schema=schema))
            total += len(edges)
    return total


def write_followed(histories: Histories, config: KGConfig, folder: Path) -> list[Path]:
    """Count ``followed_by`` and write the parts that are not there yet.

    Returns:
        The files; together they hold the edges by source, then target.
    """
    out = []
    bounds_of = kept_ranges(
        folder,
        lambda: histories.pairs_within(config.follow_window),
        follow_rows(histories, config),
    )
    for number, bounds in enumerate(bounds_of):
        path = part(folder, number)
        rename_activity(f"count followed_by: {number} of {len(bounds_of)}")
        if not path.exists():
            blocks = (c.edges(histories, FOLLOW) for c in followed(histories, config, bounds))
            write_edges(path, blocks)
        out.append(path)
    return out


def write_met(histories: Histories, config: KGConfig, folder: Path, work: Path) -> list[Path]:
    """Count ``co_rated`` and write the parts that are not there yet.

    Args:
        histories: the training interactions.
        config: of the graph.
        folder: of the edges.
        work: of the pairs that are counted first; may be deleted afterwards.

    Returns:
        The files; together they hold the edges of both directions by source, then target.
    """
    pairs = []
    meetings = kept_ranges(work / "pairs", lambda: histories.others, meet_rows(histories, config))
    for number, bounds in enumerate(meetings):
        rename_activity(f"count co_rated: {number} of {len(meetings)}")
        path = part(work / "pairs", number)
        if not path.exists():
            blocks = (c.edges(histories, MEET) for c in met(histories, config, bounds))
            write_edges(path, blocks, ("low", "high"))
        pairs.append(path)
    total = sum(pq.read_metadata(path).num_rows for path in pairs)
    # Of each item an equal share: pairs are counted once more where they are many.
    size = histories.num_items
    blocks_of = kept_ranges(
        work / "kept",
        lambda: np.full(size, 1 + 2 * total // max(size, 1)),
        max(1, histories.duck.arrays // PAIR_BYTES),
    )
    kept = []
    for number, bounds in enumerate(blocks_of):
        path = part(work / "kept", number)
        if not path.exists():
            histories.duck.write(strongest(histories, pairs, config.co_rated_top, bounds), path)
        kept.append(path)
    out = []
    for number, bounds in enumerate(blocks_of):
        path = part(folder, number)
        if not path.exists():
            histories.duck.write(both_ways(kept, bounds), path)
        out.append(path)
    return out


def read_edges(files: Iterable[Path], temporal: bool) -> Edges:
    """The edges of files, in memory."""
    tables = [pq.read_table(path) for path in files]
    table = (
        pa.concat_tables(tables, promote_options="permissive") if tables else SCHEMA.empty_table()
    )

    def column(name: str, kind: type[np.generic]) -> np.ndarray:
        return table[name].to_numpy().astype(kind, copy=False)

    return Edges(
        np.stack([column("source", np.int64), column("target", np.int64)]),
        column("weight", np.float32),
        column("count", np.int64),
        time=column("time", np.float64) if temporal else None,
    )
