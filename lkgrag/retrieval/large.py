"""Item-item counts and popularity of data larger than memory: the same weights as of arrays.

Whole numbers are counted, one for each pair, distance and direction. The weights follow from them by the additions
that :class:`~lkgrag.retrieval.itemitem.ItemItemRetriever` makes, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from lkgrag.kg.large.edge_files import part
from lkgrag.retrieval.itemitem import (
    BACKWARD,
    GAP,
    SHRINKAGE,
    SOURCE_POWER,
    TARGET_POWER,
    WINDOW,
)
from lkgrag.utils.files import atomic
from lkgrag.utils.key_counts import count_keys, kept_ranges
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.large.histories import Histories

#: Slots of a pair: each distance, after and before.
SLOTS = 2 * WINDOW
SCHEMA = pa.schema({"source": pa.int32(), "target": pa.int32(), "weight": pa.float32()})


def count_interactions(histories: Histories) -> NDArray[np.int64]:
    """The training interactions of each item, int64 ``[I]``: what popularity ranks by."""
    return histories.duck.counts(
        f"select item as place, count(*) as value from {histories.table} group by item",
        histories.num_items,
    )


def write_itemitem(histories: Histories, folder: Path) -> list[Path]:
    """Write the weights of ``itemitem``, part by part; parts that are there are kept.

    Args:
        histories: the training interactions.
        folder: of the parts.

    Returns:
        The files, ``source target`` (int32) and ``weight`` (float32), by source, then target.
    """
    bounds = kept_ranges(
        folder,
        lambda: histories.pairs_within(WINDOW, both=True),
        max(1, histories.duck.arrays // 8),
    )
    degree = count_interactions(histories) + SHRINKAGE
    powers = degree**-SOURCE_POWER, degree**-TARGET_POWER
    out = []
    for number, some in enumerate(bounds):
        path = part(folder, number)
        rename_activity(f"count itemitem: {number} of {len(bounds)}")
        if not path.exists():
            _write_part(path, _counted(histories, some), powers)
        out.append(path)
    return out


def _counted(
    histories: Histories, bounds: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield sources, targets and summed-up counts of some source items; a pair is in one block."""
    size = histories.num_items
    windows, keys = [], []
    for slot in range(SLOTS):
        step = slot % WINDOW + 1
        way, room = ("lead", "after") if slot < WINDOW else ("lag", "position")
        windows.append(f"{way}(item, {step}) over () as item_{slot}")
        keys.append(
            f"case when {room} >= {step} and item_{slot} <> item then "
            f"(item::bigint * {size} + item_{slot}) * {SLOTS} + {slot} end"
        )
    sql = (
        f"select key from (select unnest([{', '.join(keys)}]) as key "
        f"from (select *, {', '.join(windows)} from {histories.table}) "
        f"where item >= {bounds[0]} and item < {bounds[1]}) where key is not null"
    )
    rows = int(histories.pairs_within(WINDOW, both=True)[slice(*bounds)].sum())
    left = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for block in count_keys(histories.duck, sql, rows, 1):
        key, count = (np.concatenate(pair) for pair in zip(left, block, strict=True))
        # The last pair may go on in the next block.
        whole = int(np.searchsorted(key, key[-1] // SLOTS * SLOTS))
        left = key[whole:], count[whole:]
        yield key[:whole] // SLOTS, key[:whole] % SLOTS, count[:whole]
    yield left[0] // SLOTS, left[0] % SLOTS, left[1]


def _write_part(
    path: Path,
    blocks: Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]],
    powers: tuple[NDArray[np.floating], NDArray[np.floating]],
) -> None:
    """Write the weights of some pairs."""
    size = len(powers[0])
    with atomic(path) as tmp, pq.ParquetWriter(tmp, SCHEMA, compression="zstd") as writer:
        for pair, slot, count in blocks:
            first = np.flatnonzero(np.diff(pair, prepend=-1))
            source, target = pair[first] // size, pair[first] % size
            counts = _sums(first, slot, count)
            weight = (powers[0][source] * counts * powers[1][target]).astype(np.float32)
            columns = [source.astype(np.int32), target.astype(np.int32), weight]
            writer.write_table(pa.table(columns, schema=SCHEMA))


def _sums(
    first: NDArray[np.int64], slot: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The sums over distances and directions of each pair, float64.

    Args:
        first: where each pair begins.
        slot: distance and direction of each count.
        count: whole numbers.
    """
    number = np.repeat(np.arange(len(first)), np.diff(first, append=len(slot)))
    ways = np.zeros((2, len(first)))
    for place in range(SLOTS):
        here = slot == place
        if here.any():
            sums = np.cumsum(np.full(int(count[here].max()), GAP ** (place % WINDOW)))
            # Added one by one, as a sum of that many equal numbers is rounded.
            ways[place // WINDOW, number[here]] += sums[count[here] - 1]
    return ways[0] + BACKWARD * ways[1]


def read_itemitem(files: list[Path], num_items: int) -> sparse.csr_matrix:
    """The weights of ``itemitem`` in memory, float32 ``[I, I]``."""
    table = pa.concat_tables([pq.read_table(path) for path in files])
    source, target, weight = (table[name].to_numpy() for name in SCHEMA.names)
    return sparse.csr_matrix((weight, (source, target)), shape=(num_items, num_items))
