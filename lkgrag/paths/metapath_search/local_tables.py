"""The tables of a batch alone, from the rows of its items: :class:`PathTables` in which only these are numbered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.metapath_search.tables import PathTables

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Remainders for each wanted element, of which few collide.
SPARSE = 16


@dataclass(frozen=True)
class ReadRows:
    """Records of the items of a batch.

    Attributes:
        item: int64 ``[E]``, place of each record's item in the batch.
        records: void ``[E]``, by item, then read, then other end.
    """

    item: NDArray[np.int64]
    records: NDArray[np.void]


@dataclass(frozen=True)
class BatchItems:
    """The items of a batch of prompts.

    Attributes:
        items: int64 ``[I]``, all, rising.
        history: int64, places in ``items`` of those in histories, rising.
        candidates: int64, likewise of candidates.
    """

    items: NDArray[np.int64]
    history: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @classmethod
    def of(cls, history: NDArray[np.int64], candidates: NDArray[np.int64]) -> BatchItems:
        """Take the items of padded arrays."""
        ends = [np.unique(x[x >= 0]) for x in (history, candidates)]
        items = np.union1d(*ends)
        return cls(items, *(np.searchsorted(items, x) for x in ends))

    def place(self, padded: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in ``items`` of a padded array; -1 stays."""
        return np.where(padded >= 0, np.searchsorted(self.items, padded), -1)


def build_tables(
    batch: BatchItems,
    num_direct: int,
    edges: ReadRows,
    shared: list[tuple[int, int, int]],
    values: ReadRows,
) -> PathTables:
    """Fill the tables of a batch.

    Args:
        batch: its items.
        num_direct: number of meta-paths of one edge, ``R``; a record's ``read`` is one of them.
        edges: ``read target weight`` and perhaps ``time`` of the history's items.
        shared: of each meta-path over a value its number, the read that leads to the value, and the read of the
            candidates that lead on from it, in rising order of the number.
        values: ``read node degree`` of all items.

    Returns:
        Tables in which an item is its place in the batch.
    """
    return PathTables(
        **_fill_edges(batch, num_direct, edges), **_fill_values(batch, shared, values)
    )


def _fill_edges(batch: BatchItems, num_direct: int, edges: ReadRows) -> dict[str, NDArray]:
    """The edges to candidates; others cannot be asked for."""
    size = len(batch.items)
    wanted = batch.items[batch.candidates]
    keep, place = _find(wanted, edges.records["target"])
    records, item, place = edges.records[keep], edges.item[keep], place
    # The rows of a relation follow one another; within it the order is right already.
    order = np.argsort(records["read"], kind="stable")
    records, item, place = records[order], item[order], place[order]
    count = np.bincount(records["read"] * size + item, minlength=num_direct * size)
    ends = np.cumsum(count).reshape(num_direct, size)
    ptr = np.zeros((num_direct, size + 1), np.int64)
    ptr[:, 1:] = ends
    if size:
        ptr[1:, 0] = ends[:-1, -1]
    has_times = "time" in (records.dtype.names or ())
    return {
        "edge_ptr": ptr,
        "edge_target": batch.candidates[place].astype(np.int32),
        "edge_weight": np.ascontiguousarray(records["weight"]),
        "edge_time": np.ascontiguousarray(records["time"]) if has_times else np.zeros(0),
    }


def _find(
    wanted: NDArray[np.int64], among: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Look up which elements are wanted.

    Args:
        wanted: int64, rising.
        among: int32.

    Returns:
        Places in ``among`` of those that are, rising, and the place of each in ``wanted``, both int64.
    """
    # Most elements are not, and a small table of remainders tells so of nearly all of them.
    size = 1 << max(10, (SPARSE * len(wanted)).bit_length())
    is_near = np.zeros(size, bool)
    is_near[wanted & (size - 1)] = True
    near = np.flatnonzero(is_near[among & np.int32(size - 1)])
    values = among[near]
    place = np.searchsorted(wanted, values)
    place[place == len(wanted)] = 0
    hit = wanted[place] == values if len(wanted) else np.zeros(0, bool)
    return near[hit], place[hit]


def _fill_values(
    batch: BatchItems, shared: list[tuple[int, int, int]], values: ReadRows
) -> dict[str, NDArray]:
    """The values that an item of a history and a candidate have; others join nothing."""
    size = len(batch.items)
    roles = []
    for places in (batch.history, batch.candidates):
        is_of = np.zeros(size, bool)
        is_of[places] = True
        roles.append(is_of[values.item])
    by_read = np.argsort(values.records["read"], kind="stable")
    reads = values.records["read"][by_read]
    node, degree = values.records["node"][by_read], values.records["degree"][by_read]
    item, roles = values.item[by_read], [role[by_read] for role in roles]
    owner, nodes, degrees = [], [], []
    sides: tuple[list[NDArray], list[NDArray]] = ([], [])
    offset = 0
    for number, out, into in shared:
        parts = []
        for read, role in zip((out, into), roles, strict=True):
            first, last = np.searchsorted(reads, [read, read + 1])
            parts.append(first + np.flatnonzero(role[first:last]))
        mine, where = np.unique(node[parts[0]], return_index=True)
        both = np.isin(mine, node[parts[1]])
        kept, at = mine[both], parts[0][where[both]]
        if not len(kept):
            continue
        for part, side in zip(parts, sides, strict=True):
            place = np.minimum(np.searchsorted(kept, node[part]), len(kept) - 1)
            hit = kept[place] == node[part]
            side.append(np.stack([item[part[hit]], place[hit] + offset]))
        owner.append(np.full(len(kept), number, np.int32))
        nodes.append(kept)
        degrees.append(degree[at])
        offset += len(kept)
    none = [np.zeros(0, np.int32)]
    of_value = np.concatenate(degrees or none).astype(np.int32)
    by_rank = np.argsort(of_value, kind="stable").astype(np.int32)
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(len(by_rank), dtype=np.int32)
    table: dict[str, NDArray] = {
        "owner": np.concatenate(owner or none),
        "node": np.concatenate(nodes or none).astype(np.int32),
        "degree": of_value,
        "by_rank": by_rank,
        "rank": rank,
    }
    for name, side in zip(("out", "in"), sides, strict=True):
        pairs = np.concatenate(side, 1) if side else np.zeros((2, 0), np.int64)
        key = np.sort(pairs[0] * max(offset, 1) + pairs[1])
        ptr = np.zeros(size + 1, np.int64)
        np.cumsum(np.bincount(pairs[0], minlength=size), out=ptr[1:])
        table[f"{name}_ptr"] = ptr
        table[f"{name}_value"] = (key % max(offset, 1)).astype(np.int32)
    return table
