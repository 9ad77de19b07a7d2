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

from lkgrag.kg.large.histories import Rows, within
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
from lkgrag.utils.parts import read_part
from lkgrag.utils.steps import Hands, Task, hands_of, part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.large.histories import Bounds, Histories, Sent
    from lkgrag.utils.duck import Duck

#: Bytes of a row while it is counted.
KEY = 8
#: Slots of a pair: each distance, after and before.
SLOTS = 2 * WINDOW
SCHEMA = pa.schema({"source": pa.int32(), "target": pa.int32(), "weight": pa.float32()})


def count_interactions(histories: Histories) -> NDArray[np.int64]:
    """The training interactions of each item, int64 ``[I]``: what popularity ranks by."""
    return histories.chosen


def write_itemitem(hands: Hands | Duck, histories: Histories, folder: Path) -> list[Path]:
    """Write the weights of ``itemitem``, part by part; parts that are there are kept.

    Args:
        hands: who counts; of a database, this process.
        histories: the training interactions.
        folder: of the parts.

    Returns:
        The files, ``source target`` (int32) and ``weight`` (float32), by source, then target.
    """
    hands, folder = hands_of(hands), folder.absolute()
    histories.prepare(hands, [(WINDOW, True)])
    rows = pair_rows(histories)
    bounds = kept_ranges(
        folder, lambda: rows.most(histories), lambda total: hands.most_rows(total, KEY)
    )
    outs = [part(folder, number) for number in range(len(bounds))]
    if not all(path.exists() for path in outs):
        histories.divide(hands, rows)
    hands.do(
        "count itemitem",
        [
            Task(path, write_itemitem_part, (histories.sent, some, path))
            for some, path in zip(bounds, outs, strict=True)
        ],
    )
    histories.forget(rows)
    return outs


def write_itemitem_part(duck: Duck, histories: Sent, bounds: Bounds, path: Path) -> None:
    """Write the weights of some source items."""
    here = histories.on(duck)
    degree = count_interactions(here) + SHRINKAGE
    powers = degree**-SOURCE_POWER, degree**-TARGET_POWER
    _write_part(path, _counted(here, bounds), powers)


def pair_rows(histories: Histories) -> Rows:
    """The pairs within the window, with distance and direction, as one ``key``."""
    size = histories.num_items * SLOTS
    return Rows(f"pairs-{WINDOW}", _pair_query, "key", size, _pair_most)


def _pair_most(histories: Histories) -> NDArray[np.int64]:
    return histories.pairs_within(WINDOW, both=True)


def _pair_query(histories: Histories, bounds: Bounds | None) -> str:
    windows, keys = [], []
    for slot in range(SLOTS):
        step = slot % WINDOW + 1
        way, room = ("lead", "after") if slot < WINDOW else ("lag", "position")
        windows.append(f"{way}(item, {step}) over () as item_{slot}")
        keys.append(
            f"case when {room} >= {step} and item_{slot} <> item then "
            f"(item::bigint * {histories.num_items} + item_{slot}) * {SLOTS} + {slot} end"
        )
    return (
        f"select key from (select unnest([{', '.join(keys)}]) as key "
        f"from (select *, {', '.join(windows)} from {histories.table}) "
        f"where {within(bounds)}) where key is not null"
    )


def _counted(
    histories: Histories, bounds: Bounds
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield sources, targets and summed-up counts of some source items; a pair is in one block."""
    rows = pair_rows(histories)
    most = int(rows.most(histories)[slice(*bounds)].sum())
    left = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for block in count_keys(histories.duck, histories.rows(rows, bounds), most, 1):
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
    table = pa.concat_tables([read_part(path) for path in files])
    source, target, weight = (table[name].to_numpy() for name in SCHEMA.names)
    return sparse.csr_matrix((weight, (source, target)), shape=(num_items, num_items))
