"""Sorted adjacency lists of an edge type, and two helpers for joins on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from lkgrag.kg.clean_edges import clean_order
from lkgrag.kg.large.tables import SortedEdges, TableKG

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.kg.remote import RemoteKG


#: Edges of a file that are looked at in one go.
BLOCK = 1 << 24


@dataclass(frozen=True)
class Adjacency:
    """The edges of one type, sorted by source, without loops and repetitions.

    Attributes:
        indptr: int64 ``[num_sources + 1]``; the edges of source ``s`` are ``indptr[s]:indptr[s + 1]``.
        target: int64 ``[E]`` (int32 from files), rising within a source.
        weight: float ``[E]``; 1 except between items.
        time: float64 ``[E]``, from when on the edge exists; -inf if that is unknown or the graph is not
            temporal.
        degree: int64 ``[num_targets]``, number of edges that lead to each target.
    """

    indptr: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.floating]
    time: NDArray[np.float64]
    degree: NDArray[np.int64]

    @classmethod
    def of(cls, data: HeteroData | RemoteKG | TableKG, edge_type: EdgeType) -> Adjacency:
        """Read one edge type of a graph. Of repeated edges, only the one with the largest weight stays."""
        if isinstance(data, TableKG):
            ordered = data.sorted_edges(edge_type)
            if ordered is not None:
                return cls._mapped(ordered, int(data[edge_type[2]].num_nodes))
        store = data[edge_type]
        source, target = (x.cpu().numpy().astype(np.int64, copy=False) for x in store.edge_index)
        num_source, num_target = (int(data[edge_type[i]].num_nodes) for i in (0, 2))
        # A value that is the same for all edges takes no memory.
        weight: NDArray = np.broadcast_to(1.0, len(source))
        if edge_type[0] == edge_type[2] and "weight" in store:
            weight = store.weight.cpu().numpy()
        time: NDArray = np.broadcast_to(-np.inf, len(source))
        if data.get("temporal", False) and "time" in store:
            stored = store.time.cpu().numpy().astype(np.float64)
            time = np.where(np.isnan(stored), -np.inf, stored)
        may_loop = edge_type[0] == edge_type[2]
        order = clean_order(source, target, weight, num_target, may_loop)
        if order is not None:
            source, target = source[order], target[order]
            weight, time = weight[order], time[order]
        return cls(
            _row_starts(source, num_source),
            target,
            weight,
            time,
            np.bincount(target, minlength=num_target),
        )

    @classmethod
    def _mapped(cls, edges: SortedEdges, num_targets: int) -> Adjacency:
        """Take edges from files; only the arrays of nodes are in memory."""
        degree = np.zeros(num_targets, np.int64)
        for start in range(0, len(edges.target), BLOCK):
            degree += np.bincount(edges.target[start : start + BLOCK], minlength=num_targets)
        time: NDArray = np.broadcast_to(-np.inf, len(edges.target))
        if edges.time is not None:
            time = np.where(np.isnan(edges.time), -np.inf, edges.time)
        # What reads targets takes both widths of whole numbers.
        target = cast("NDArray[np.int64]", edges.target)
        return cls(edges.indptr, target, edges.weight, time, degree)

    @property
    def has_times(self) -> bool:
        """Whether any edge exists only from a known time on."""
        return bool(np.isfinite(self.time[: 1 if self.time.strides == (0,) else None]).any())

    @property
    def source(self) -> NDArray[np.int64]:
        """The source of each edge, int64 ``[E]``."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def reversed(self) -> Adjacency:
        """Return the same edges with source and target exchanged."""
        order = np.lexsort((self.source, self.target))
        return Adjacency(
            _row_starts(self.target[order], len(self.degree)),
            self.source[order],
            self.weight[order],
            self.time[order],
            np.diff(self.indptr),
        )


def _row_starts(sorted_rows: NDArray[np.int64], num_rows: int) -> NDArray[np.int64]:
    """Where each row begins in a sorted array of rows, int64 ``[num_rows + 1]``."""
    out = np.zeros(num_rows + 1, np.int64)
    np.cumsum(np.bincount(sorted_rows, minlength=num_rows), out=out[1:])
    return out


def spread(
    start: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unroll ranges: each row ``r`` gives the places ``start[r] .. start[r] + count[r] - 1``.

    Args:
        start: int64 ``[R]``.
        count: int64 ``[R]``.

    Returns:
        The row and the place of each element, both int64 ``[count.sum()]``.
    """
    row = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(row)) + np.repeat(start - (np.cumsum(count) - count), count)
    return row, place


def cap(group: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Mark the first ``most`` elements of each run of equal values in a sorted array, bool ``[N]``."""
    keep = np.ones(len(group), bool)
    if len(group) > most:
        keep[most:] = group[most:] != group[:-most]
    return keep
