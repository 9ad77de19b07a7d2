"""Equal keys counted: those of a query, in one array of a known size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.utils.files import read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.utils.duck import Duck

#: Sorted keys that are counted at a time.
BLOCK = 1 << 21


def ranges(rows: NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Cut places into ranges of at most ``most`` rows; a place with more is a range of its own.

    Args:
        rows: int64 ``[N]``, rows of each place.
        most: rows of a range.

    Returns:
        First place and the one after the last, of each range.
    """
    total = np.concatenate([[0], np.cumsum(rows)])
    bounds = [0]
    while bounds[-1] < len(rows):
        begin = bounds[-1]
        end = int(np.searchsorted(total, total[begin] + most, side="right")) - 1
        bounds.append(max(end, begin + 1))
    return list(pairwise(bounds))


def kept_ranges(
    folder: Path, rows: Callable[[], NDArray[np.int64]], most: Callable[[int], int]
) -> list[tuple[int, int]]:
    """The ranges of a table's parts, which stay as they are if work goes on with another limit of memory.

    Args:
        folder: of the parts; the ranges are in ``ranges.json``.
        rows: gives the rows of each place, where there are no ranges yet.
        most: rows of a range, of the rows of all.
    """
    path = folder / "ranges.json"
    if not path.exists():
        found = rows()
        write_json(path, ranges(found, max(1, most(int(found.sum())))))
    return [(int(first), int(end)) for first, end in read_json(path)]


def count_keys(
    duck: Duck, sql: str, rows: int, need: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Count equal keys, and give those that come at least ``need`` times.

    Sorting one array is several times as fast as the database's table of groups, which most keys enter once.

    Args:
        duck: the database.
        sql: a query with the column ``key``, int64.
        rows: most rows that it gives.
        need: least count.

    Yields:
        Keys, rising also from block to block, and their counts, both int64.
    """
    if rows * 8 > duck.arrays:
        # More than the arrays may take, of one item alone: the database counts, and keeps on disk what is too much.
        grouped = f"select key, count(*) as n from ({sql}) group by key having count(*) >= {need} order by key"
        for batch in duck.batches(grouped):
            yield batch["key"].to_numpy(), batch["n"].to_numpy()
        return
    keys = np.empty(rows, np.int64)
    size = 0
    for batch in duck.batches(sql):
        part = batch["key"].to_numpy()
        keys[size : size + len(part)] = part
        size += len(part)
    keys = keys[:size]
    keys.sort()
    begin = 0
    while begin < size:
        end = min(begin + BLOCK, size)
        if end < size:
            # Equal keys stay in one block.
            end = int(np.searchsorted(keys, keys[end - 1], side="right"))
        block = keys[begin:end]
        starts = np.flatnonzero(np.concatenate([[True], block[1:] != block[:-1]]))
        count = np.diff(starts, append=len(block))
        enough = count >= need
        yield block[starts[enough]], count[enough]
        begin = end
