"""Sorted adjacency lists of one edge type, and joins on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.kg.remote import RemoteKG


@dataclass(frozen=True)
class Adjacency:
    """The edges of one type by source, without loops and repetitions.

    Attributes:
        indptr: int64 ``[num_sources + 1]``.
        target: int64 ``[E]``, rising within a source.
        weight: float ``[E]``; 1 except between items.
        time: float64 ``[E]``, when the edge first stood; -inf where that is not known or not asked.
        degree: int64 ``[num_targets]``, edges that lead to each target.
    """

    indptr: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.floating]
    time: NDArray[np.float64]
    degree: NDArray[np.int64]

    @classmethod
    def of(cls, data: HeteroData | RemoteKG, edge_type: EdgeType) -> Adjacency:
        """Read one edge type of a graph; of repeated edges the strongest stays."""
        store = data[edge_type]
        source, target = (x.cpu().numpy().astype(np.int64, copy=False) for x in store.edge_index)
        num_source, num_target = (int(data[edge_type[i]].num_nodes) for i in (0, 2))
        # What is the same for all edges takes no memory.
        weight: NDArray = np.broadcast_to(1.0, len(source))
        if edge_type[0] == edge_type[2] and "weight" in store:
            weight = store.weight.cpu().numpy()
        time: NDArray = np.broadcast_to(-np.inf, len(source))
        if data.get("temporal", False) and "time" in store:
            known = store.time.cpu().numpy().astype(np.float64)
            time = np.where(np.isnan(known), -np.inf, known)
        loops = edge_type[0] == edge_type[2]
        if not _in_order(source, target, num_target, loops):
            order = np.lexsort((-weight, target, source))
            if loops:
                order = order[source[order] != target[order]]
            first = np.ones(len(order), bool)
            a, b = source[order], target[order]
            first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
            order = order[first]
            source, target = source[order], target[order]
            weight, time = weight[order], time[order]
        return cls(
            _indptr(source, num_source),
            target,
            weight,
            time,
            np.bincount(target, minlength=num_target),
        )

    @property
    def timed(self) -> bool:
        """Whether any edge is known to have stood from some time on only."""
        return bool(np.isfinite(self.time[: 1 if self.time.strides == (0,) else None]).any())

    @property
    def source(self) -> NDArray[np.int64]:
        """The source of each edge, int64 ``[E]``."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def reversed(self) -> Adjacency:
        """The same edges by target; ``degree`` counts edges of the sources."""
        order = np.lexsort((self.source, self.target))
        return Adjacency(
            _indptr(self.target[order], len(self.degree)),
            self.source[order],
            self.weight[order],
            self.time[order],
            np.diff(self.indptr),
        )


def _in_order(
    source: NDArray[np.int64], target: NDArray[np.int64], width: int, loops: bool
) -> bool:
    """Whether edges come by source, then target, each once; with ``loops`` also that none is a loop."""
    key = source * width + target
    rising = bool((key[1:] > key[:-1]).all())
    return rising and not (loops and bool((source == target).any()))


def _indptr(sorted_rows: NDArray[np.int64], num_rows: int) -> NDArray[np.int64]:
    out = np.zeros(num_rows + 1, np.int64)
    np.cumsum(np.bincount(sorted_rows, minlength=num_rows), out=out[1:])
    return out


def spread(
    start: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Unroll ranges: for each row ``r`` the places ``start[r] .. start[r] + count[r] - 1``.

    Returns:
        The row and the place of each element, int64 ``[count.sum()]``.
    """
    row = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(row)) + np.repeat(start - (np.cumsum(count) - count), count)
    return row, place


def cap(group: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """Keep the first ``most`` elements of each run of equal values of a sorted array."""
    keep = np.ones(len(group), bool)
    if len(group) > most:
        keep[most:] = group[most:] != group[:-most]
    return keep
