"""Reads of rows: what a graph store must give so that no relation is read whole."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.kg.clean_edges import clean_order

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeType

    from lkgrag.kg.remote import RemoteKG

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """The edges of ``N`` nodes, row by row, without loops and repetitions.

    Attributes:
        indptr: int64 ``[N + 1]``; the edges of the node at place ``n`` are ``indptr[n]:indptr[n + 1]``.
        other: int64 ``[E]``, the other end of each edge, rising within a row.
        weight: float32 ``[E]``; None where all edges weigh 1.
        time: float64 ``[E]``, from when on an edge exists, -inf where that is unknown; None without times.
        degree: int64 ``[E]``, how many edges of the relation lead to the other end; None where it is not stored.
    """

    indptr: NDArray[np.int64]
    other: NDArray[np.int64]
    weight: NDArray[np.float32] | None = None
    time: NDArray[np.float64] | None = None
    degree: NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        nodes: NDArray[np.int64],
        ends: tuple[NDArray[np.int64], NDArray[np.int64]],
        may_loop: bool,
        weight: NDArray[np.float32] | None = None,
        time: NDArray[np.float64] | None = None,
        degree: NDArray[np.int64] | None = None,
    ) -> Rows:
        """Make rows of edges in any order. Of repeated edges, the one with the largest weight stays.

        Args:
            nodes: int64 ``[N]``, rising.
            ends: of each edge, one of ``nodes`` and the other end, both int64.
            may_loop: whether both ends are of one type.
            weight: as in the result.
            time: as in the result.
            degree: as in the result.
        """
        node, other = ends
        most = int(other.max(initial=0)) + 1
        ones = np.broadcast_to(np.float32(1), len(node)) if weight is None else weight
        order = clean_order(node, other, ones, most, may_loop)
        if order is not None:
            node, other = node[order], other[order]
            weight = None if weight is None else weight[order]
            time = None if time is None else time[order]
            degree = None if degree is None else degree[order]
        ends_at = np.searchsorted(node, nodes, "right")
        return cls(np.concatenate([[0], ends_at]), other, weight, time, degree)


class RowReads(ABC):
    """Gives the rows of some nodes, by one query for a relation: what a PyG ``GraphStore`` may implement besides.

    ``GraphStore.get_edge_index`` knows whole relations only. :class:`~lkgrag.paths.StoreFinder` calls these methods
    instead; implement them for another database. Nodes are named by their index, as in PyG.

    Attributes:
        edge_types: in the order by which meta-paths are numbered, with the inverses that are to be read.
        name: of the store, for messages.
    """

    edge_types: list[EdgeType]
    name: str = "the graph store"

    @abstractmethod
    def num_nodes(self, node_type: str) -> int:
        """Number of nodes of a type."""

    @abstractmethod
    def get_rows(self, edge_type: EdgeType, nodes: NDArray[np.int64], into: bool) -> Rows:
        """Read the edges of some nodes.

        Args:
            edge_type: one of :attr:`edge_types`.
            nodes: int64 ``[N]``, rising; a node that the store does not have has an empty row.
            into: read the edges that lead to ``nodes``, which are targets then, instead of those that leave them.

        Raises:
            LkgragError: the store could not answer.
        """

    @abstractmethod
    def get_degrees(self, edge_type: EdgeType) -> NDArray[np.int32]:
        """Count the edges that lead to each target, without repetitions; int32 ``[number of targets]``.

        It is called once a relation, and only where :attr:`Rows.degree` is None.

        Raises:
            LkgragError: the store could not answer.
        """

    def has_times(self, edge_type: EdgeType) -> bool:
        """Whether edges of a type exist only from a time on."""
        return False

    def stored(self, edge_type: EdgeType) -> tuple[EdgeType, bool]:
        """The edge type whose rows are read for a type, and whether it is read backwards.

        Types with an equal answer are read and kept once.
        """
        return edge_type, False


class WholeRelations(RowReads):
    """Gives rows of a store that lacks them: each relation is read whole when it is first needed, and kept.

    Args:
        graph: that reads a relation at a time.
    """

    def __init__(self, graph: RemoteKG) -> None:
        self.graph = graph
        self.edge_types = graph.edge_types
        self._kept: dict[tuple[EdgeType, bool], Rows] = {}
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        """The state without the lock, for copies and other processes."""
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Give the copy a lock of its own."""
        vars(self).update(state, _lock=Lock())

    def num_nodes(self, node_type: str) -> int:
        """Number of nodes of a type."""
        return int(self.graph[node_type].num_nodes)

    def get_rows(self, edge_type: EdgeType, nodes: NDArray[np.int64], into: bool) -> Rows:
        """Take rows of the relation in memory."""
        whole = self._whole(edge_type, into)
        known = nodes < len(whole.indptr) - 1
        inside = np.where(known, nodes, 0)
        start = whole.indptr[inside]
        count = np.where(known, whole.indptr[inside + 1] - start, 0)
        indptr = np.concatenate([[0], np.cumsum(count)])
        place = np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], count)
        weight = None if whole.weight is None else whole.weight[place]
        return Rows(indptr, whole.other[place], weight)

    def get_degrees(self, edge_type: EdgeType) -> NDArray[np.int32]:
        """Count in memory."""
        rows = self._whole(edge_type, False)
        return np.bincount(rows.other, minlength=self.num_nodes(edge_type[2])).astype(np.int32)

    def stored(self, edge_type: EdgeType) -> tuple[EdgeType, bool]:
        """Inverses that the store lacks are read backwards."""
        return self.graph.stored(edge_type)

    def _whole(self, edge_type: EdgeType, into: bool) -> Rows:
        """A relation in memory, by one of its ends."""
        kept, is_back = self.stored(edge_type)
        key = (kept, into != is_back)
        with self._lock:
            if key not in self._kept:
                log.warning(
                    "the graph store gives no rows: %s is read whole and kept in memory; "
                    "a store with lkgrag.kg.RowReads reads only the rows of a prompt",
                    "-".join(kept),
                )
                self._kept[key] = self._read(kept, key[1])
            return self._kept[key]

    def _read(self, edge_type: EdgeType, into: bool) -> Rows:
        edges = self.graph[edge_type]
        source, target = (x.cpu().numpy().astype(np.int64, copy=False) for x in edges.edge_index)
        weight = None
        if edge_type[0] == edge_type[2] and "weight" in edges:
            weight = edges.weight.cpu().numpy().astype(np.float32)
        ends = (target, source) if into else (source, target)
        nodes = np.arange(self.num_nodes(edge_type[2 if into else 0]))
        return Rows.of(nodes, ends, edge_type[0] == edge_type[2], weight)
