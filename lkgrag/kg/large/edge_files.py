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
    follow_bytes,
    follow_rows,
    followed,
    meet_bytes,
    meet_rows,
    met,
    strongest,
)
from lkgrag.kg.sources.co_rated import SHRINKAGE as MEET
from lkgrag.kg.sources.followed_by import SHRINKAGE as FOLLOW
from lkgrag.utils.duck import known
from lkgrag.utils.files import atomic
from lkgrag.utils.key_counts import kept_ranges
from lkgrag.utils.parts import count_rows, read_part
from lkgrag.utils.steps import Hands, Task, part

if TYPE_CHECKING:
    from lkgrag.config import KGConfig
    from lkgrag.kg.large.histories import Bounds, Histories, Sent
    from lkgrag.utils.duck import Duck

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


def write_followed(
    hands: Hands, histories: Histories, config: KGConfig, folder: Path
) -> list[Path]:
    """Count ``followed_by`` and write the parts that are not there yet.

    Returns:
        The files; together they hold the edges by source, then target.
    """
    histories.prepare(hands, [(config.follow_window, False)])
    rows, size = follow_rows(histories, config), follow_bytes(histories, config)
    bounds_of = kept_ranges(
        folder, lambda: rows.most(histories), lambda total: hands.most_rows(total, size)
    )
    outs = [part(folder, number) for number in range(len(bounds_of))]
    if not all(path.exists() for path in outs):
        histories.divide(hands, rows)
    hands.do(
        "count followed_by",
        [
            Task(path, write_followed_part, (histories.sent, config, bounds, path))
            for bounds, path in zip(bounds_of, outs, strict=True)
        ],
    )
    histories.forget(rows)
    return outs


def write_followed_part(
    duck: Duck, histories: Sent, config: KGConfig, bounds: Bounds, path: Path
) -> None:
    """Write the edges of ``followed_by`` from some items."""
    here = histories.on(duck)
    write_edges(path, (c.edges(here, FOLLOW) for c in followed(here, config, bounds)))


def write_met(
    hands: Hands, histories: Histories, config: KGConfig, folder: Path, work: Path
) -> list[Path]:
    """Count ``co_rated`` and write the parts that are not there yet.

    Args:
        hands: who counts.
        histories: the training interactions.
        config: of the graph.
        folder: of the edges.
        work: of the pairs that are counted first; may be deleted afterwards.

    Returns:
        The files; together they hold the edges of both directions by source, then target.
    """
    histories.prepare(hands, [])
    rows, size = meet_rows(histories, config), meet_bytes(config)
    meetings = kept_ranges(
        work / "pairs", lambda: rows.most(histories), lambda total: hands.most_rows(total, size)
    )
    pairs = [part(work / "pairs", number) for number in range(len(meetings))]
    if not all(path.exists() for path in pairs):
        histories.divide(hands, rows)
    hands.do(
        "count co_rated",
        [
            Task(path, write_met_part, (histories.sent, config, bounds, path))
            for bounds, path in zip(meetings, pairs, strict=True)
        ],
    )
    histories.forget(rows)
    total = sum(map(count_rows, pairs))
    # Of each item an equal share: pairs are counted once more where they are many.
    items = histories.num_items
    blocks = kept_ranges(
        work / "kept",
        lambda: np.full(items, 1 + 2 * total // max(items, 1)),
        lambda total: hands.most_rows(total, PAIR_BYTES),
    )
    numbered = list(enumerate(blocks))
    kept = hands.do(
        "keep the strongest of co_rated",
        [
            Task(path := part(work / "kept", n), write_strongest, (pairs, config, bounds, path))
            for n, bounds in numbered
        ],
    )
    return hands.do(
        "write co_rated",
        [
            Task(path := part(folder, n), write_both_ways, (kept, bounds, path))
            for n, bounds in numbered
        ],
    )


def write_met_part(
    duck: Duck, histories: Sent, config: KGConfig, bounds: Bounds, path: Path
) -> None:
    """Write all pairs of ``co_rated`` whose smaller item is one of some."""
    here = histories.on(duck)
    write_edges(path, (c.edges(here, MEET) for c in met(here, config, bounds)), ("low", "high"))


def write_strongest(
    duck: Duck, pairs: list[Path], config: KGConfig, bounds: Bounds, path: Path
) -> None:
    """Write the partners that some items keep."""
    duck.write(strongest(pairs, config.co_rated_top, bounds), path)


def write_both_ways(duck: Duck, kept: list[Path], bounds: Bounds, path: Path) -> None:
    """Write the edges of ``co_rated`` from some items."""
    duck.write(both_ways(kept, bounds), path)


def read_edges(files: Iterable[Path], temporal: bool) -> Edges:
    """The edges of files, in memory."""
    tables = [read_part(path) for path in files]
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
