"""The search for instances of any meta-path: paths grow from both ends and are joined at the middle node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.adjacency import Adjacency, spread
from lkgrag.paths.metapath_search.best_paths import BestPaths, Half, join_halves, order_within
from lkgrag.paths.metapath_search.two_edges import Instances, rarity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeType

    from lkgrag.paths.batch import MetaPath


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
        middle = len(metapath) - len(metapath) // 2
        lists = [adjacency[e] for e in metapath]
        self._outward = lists[:middle]
        self._inward = [backward[e] for e in reversed(metapath[middle:])]
        #: Number of partial paths from each item, int64 ``[num_items]``.
        self.cost = np.maximum(_count_walks(self._outward), _count_walks(self._inward))
        # Degrees of the inner nodes by place: the number of edges that enter them.
        self._degree = [None, *(a.degree for a in lists[:-1]), None]
        # Places of both halves at which a path could visit a node twice.
        twice = [
            (i, j)
            for i in range(middle)
            for j in range(middle + 1, len(self.types))
            if self.types[i] == self.types[j]
        ]
        self._twice = np.array(twice, np.int64).reshape(-1, 2)

    def __call__(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        time: NDArray[np.float64],
        best: BestPaths,
    ) -> None:
        """Find the instances of a block of prompts, and give the best of them to ``best``.

        Args:
            history: int64 ``[S, H]``, -1 padding.
            candidates: int64 ``[S, C]``, -1 padding.
            time: float64 ``[S]``, NaN unknown; every edge must exist before it.
            best: of the pairs ``(sample * C + candidate) * H + history``.
        """
        num_history, num_candidates = history.shape[1], candidates.shape[1]
        is_open = (best.rows.of >= 0).reshape(len(history), num_candidates, num_history)
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
        join_halves(
            left,
            right,
            np.searchsorted(right_key, left_key, "left"),
            np.searchsorted(right_key, left_key, "right"),
            time,
            num_history,
            self._twice,
            self.index,
            best.rows,
        )

    def _grow(self, items: NDArray[np.int64], lists: list[Adjacency], places: list[int]) -> Half:
        """Walk from the items of a padded array, without visiting a node twice."""
        flat = items.reshape(-1)
        slot = np.flatnonzero(flat >= 0)
        half = Half(
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
            grown = Half(
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


def sort_instances(instances: Instances) -> Instances:
    """Sort instances by pair, then meta-path, then nodes."""
    x = instances
    # In linear time if there are few runs of rising pairs.
    order = np.argsort(x.pair, kind="stable")
    order_within(x.pair, x.metapath, x.nodes, order)
    return take(x, order)


def take(instances: Instances, rows: NDArray[np.int64]) -> Instances:
    """Select some of the instances."""
    names = Instances.__dataclass_fields__
    return Instances(*(getattr(instances, name)[rows] for name in names))


def concatenate(parts: list[Instances]) -> Instances:
    """Join several groups of instances into one."""
    names = Instances.__dataclass_fields__
    return Instances(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
