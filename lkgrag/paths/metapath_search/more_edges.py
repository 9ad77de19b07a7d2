"""The search for instances of any meta-path: paths grow from both ends and are joined at the middle node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.adjacency import Adjacency, cap, spread
from lkgrag.paths.metapath_search.two_edges import Instances, rarity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeType

    from lkgrag.paths.batch import MetaPath

#: Largest number of joined instances in memory; a larger join is cut into parts.
BUDGET = 500_000


@dataclass(frozen=True)
class _Half:
    """Partial paths from one end of a block of prompts.

    Attributes:
        slot: int64 ``[N]``, flat slot of the end in the block's history or candidates.
        nodes: int64 ``[N, k + 1]``, from the end to the middle.
        degree: int64 ``[N]``, largest degree of the inner nodes so far.
        weight: float64 ``[N]``, product of the weights so far.
        time: float64 ``[N]``, of the latest edge.
    """

    slot: NDArray[np.int64]
    nodes: NDArray[np.int64]
    degree: NDArray[np.int64]
    weight: NDArray[np.float64]
    time: NDArray[np.float64]

    def take(self, rows: NDArray) -> _Half:
        """Select some of the rows."""
        return _Half(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class LongPaths:
    """Finds the instances of one meta-path of two edges or more.

    Args:
        index: number of the meta-path.
        metapath: its edge types.
        adjacency: the edges of each type.
        backward: the reversed edges of each type.
    """

    def __init__(
        self,
        index: int,
        metapath: MetaPath,
        adjacency: dict[EdgeType, Adjacency],
        backward: dict[EdgeType, Adjacency],
    ) -> None:
        self.index = index
        self.types = [metapath[0][0], *(e[2] for e in metapath)]
        self.split = len(metapath) // 2
        lists = [adjacency[e] for e in metapath]
        self._outward = lists[: len(metapath) - self.split]
        self._inward = [backward[e] for e in reversed(metapath[len(metapath) - self.split :])]
        #: Number of partial paths from each item, int64 ``[num_items]``.
        self.cost = np.maximum(_count_walks(self._outward), _count_walks(self._inward))
        # Degrees of the inner nodes by place: the number of edges that enter them.
        self._degree = [None, *(a.degree for a in lists[:-1]), None]

    def __call__(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        time: NDArray[np.float64],
        most: int,
        full: NDArray[np.bool_],
        width: int,
    ) -> list[Instances]:
        """Find the instances of a block of prompts, at most the ``most`` best of each pair.

        Args:
            history: int64 ``[S, H]``, -1 padding.
            candidates: int64 ``[S, C]``, -1 padding.
            time: float64 ``[S]``, NaN unknown; every edge must exist before it.
            most: the cap.
            full: bool ``[S * C * H]``, pairs that need no more paths, or can have none.
            width: columns of ``nodes``.

        Returns:
            Parts, each with at most ``most`` instances of a pair, in no fixed order.
        """
        num_history, num_candidates = history.shape[1], candidates.shape[1]
        is_open = ~full.reshape(len(history), num_candidates, num_history)
        # An item without an open pair needs no walk.
        history = np.where(is_open.any(1), history, -1)
        candidates = np.where(is_open.any(2), candidates, -1)
        places = list(range(len(self.types)))
        middle = len(self._outward)
        left = self._grow(history, self._outward, places[: middle + 1])
        right = self._grow(candidates, self._inward, places[: middle - 1 : -1])
        size = max(int(half.nodes[:, -1].max(initial=0)) for half in (left, right)) + 1
        left_key = left.slot // num_history * size + left.nodes[:, -1]
        right_key = right.slot // num_candidates * size + right.nodes[:, -1]
        order = np.argsort(right_key, kind="stable")
        right, right_key = right.take(order), right_key[order]
        start = np.searchsorted(right_key, left_key, "left")
        count = np.searchsorted(right_key, left_key, "right") - start
        parts = []
        for rows in _split_rows(count):
            row, entry = spread(start[rows], count[rows])
            row = rows[row]
            pair = right.slot[entry] * num_history + left.slot[row] % num_history
            keep = ~full[pair]
            row, entry = row[keep], entry[keep]
            if len(row):
                joined = self._join(left.take(row), right.take(entry), time, num_history, width)
                parts.append(keep_best(joined, most))
        return parts

    def _grow(self, items: NDArray[np.int64], lists: list[Adjacency], places: list[int]) -> _Half:
        """Walk from the items of a padded array, without visiting a node twice."""
        flat = items.reshape(-1)
        slot = np.flatnonzero(flat >= 0)
        half = _Half(
            slot,
            flat[slot][:, None],
            np.zeros(len(slot), np.int64),
            np.ones(len(slot)),
            np.full(len(slot), -np.inf),
        )
        for step, edges in enumerate(lists):
            at = half.nodes[:, -1]
            row, place = spread(edges.indptr[at], edges.indptr[at + 1] - edges.indptr[at])
            half, node = half.take(row), edges.target[place]
            # The middle node counts on the history's side only.
            is_counted = step + 1 < len(lists) or lists is self._outward
            degree, weight = self._weigh(places[step + 1], node) if is_counted else (0, 1.0)
            grown = _Half(
                half.slot,
                np.concatenate([half.nodes, node[:, None]], 1),
                np.maximum(half.degree, degree),
                half.weight * edges.weight[place] * weight,
                np.maximum(half.time, edges.time[place]),
            )
            types = [self.types[p] for p in places[: step + 2]]
            half = grown.take(np.flatnonzero(_is_new(grown.nodes, types)))
        return half

    def _weigh(
        self, place: int, node: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | float]:
        """Return the degree of an inner node and its factor in the weight; only values have a rarity."""
        degree = self._degree[place]
        assert degree is not None
        return degree[node], (1.0 if self.types[place] == "item" else rarity(degree[node]))

    def _join(
        self,
        left: _Half,
        right: _Half,
        time: NDArray[np.float64],
        num_history: int,
        width: int,
    ) -> Instances:
        """Join partial paths row by row, and drop those that are too late or visit a node twice."""
        sample = left.slot // num_history
        pair = right.slot * num_history + left.slot % num_history
        nodes = np.concatenate([left.nodes, right.nodes[:, -2::-1]], 1)
        keep = ~(np.maximum(left.time, right.time) >= time[sample])
        middle = left.nodes.shape[1] - 1
        for i in range(middle):
            for j in range(middle + 1, nodes.shape[1]):
                if self.types[i] == self.types[j]:
                    keep &= nodes[:, i] != nodes[:, j]
        rows = np.flatnonzero(keep)
        padded = np.full((len(rows), width), -1, np.int64)
        padded[:, : nodes.shape[1]] = nodes[rows]
        return Instances(
            pair[rows],
            np.full(len(rows), self.index),
            np.maximum(left.degree, right.degree)[rows],
            padded,
            (left.weight * right.weight)[rows],
        )


def _count_walks(lists: list[Adjacency]) -> NDArray[np.int64]:
    """Count the walks from each source through a chain of adjacency lists."""
    walks = np.ones(len(lists[-1].degree), np.int64)
    for edges in reversed(lists):
        sums = np.concatenate([[0], np.cumsum(walks[edges.target])])
        walks = sums[edges.indptr[1:]] - sums[edges.indptr[:-1]]
    return walks


def _is_new(nodes: NDArray[np.int64], types: list[str]) -> NDArray[np.bool_]:
    """Whether the last node of each row is none of those before it."""
    keep = np.ones(len(nodes), bool)
    for place, kind in enumerate(types[:-1]):
        if kind == types[-1]:
            keep &= nodes[:, place] != nodes[:, -1]
    return keep


def _split_rows(count: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split the rows into blocks that join to about :data:`BUDGET` instances each."""
    rows = np.flatnonzero(count)
    if not len(rows):
        return []
    block = np.cumsum(count[rows]) // BUDGET
    return np.split(rows, np.flatnonzero(np.diff(block)) + 1)


def keep_best(instances: Instances, most: int) -> Instances:
    """Keep the ``most`` best instances of each pair: shorter, then rarer, then by meta-path and nodes."""
    x, length = instances, (instances.nodes >= 0).sum(1)
    order = np.lexsort([*x.nodes.T[::-1], x.metapath, x.degree, length, x.pair])
    return take(x, order[cap(x.pair[order], most)])


def sort_instances(instances: Instances) -> Instances:
    """Sort instances by pair, then meta-path, then nodes."""
    x = instances
    return take(x, np.lexsort([*x.nodes.T[::-1], x.metapath, x.pair]))


def take(instances: Instances, rows: NDArray[np.int64]) -> Instances:
    """Select some of the instances."""
    names = Instances.__dataclass_fields__
    return Instances(*(getattr(instances, name)[rows] for name in names))


def concatenate(parts: list[Instances]) -> Instances:
    """Join several groups of instances into one."""
    names = Instances.__dataclass_fields__
    return Instances(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
