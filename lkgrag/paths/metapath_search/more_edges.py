"""Instances of any meta-path: grown from both ends and joined at the middle node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.adjacency import Adjacency, cap, spread
from lkgrag.paths.metapath_search.two_edges import Found, rarity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeType

    from lkgrag.paths.batch import MetaPath

#: Most joined instances held at a time; a larger join is cut into parts.
BUDGET = 500_000


@dataclass(frozen=True)
class _Half:
    """Partial paths from one end of a block of prompts.

    Attributes:
        slot: int64 ``[N]``, flat slot of the end in the block's history or candidates.
        nodes: int64 ``[N, k + 1]``, from the end to the middle.
        degree: int64 ``[N]``, largest degree of the inner nodes that are known.
        weight: float64 ``[N]``.
        time: float64 ``[N]``, of the latest edge.
    """

    slot: NDArray[np.int64]
    nodes: NDArray[np.int64]
    degree: NDArray[np.int64]
    weight: NDArray[np.float64]
    time: NDArray[np.float64]

    def take(self, rows: NDArray) -> _Half:
        """Some of the rows."""
        return _Half(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class LongPaths:
    """Finds the instances of one meta-path of two edges or more.

    Args:
        index: of the meta-path.
        metapath: its edge types.
        adjacency: of each edge type.
        backward: the same, reversed.
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
        #: Rows that the walk from each item has at its longest, int64 ``[num_items]``.
        self.cost = np.maximum(_walks(self._outward), _walks(self._inward))
        # Degree of the inner node at place i: edges that enter it; only values have a rarity.
        self._degree = [None, *(a.degree for a in lists[:-1]), None]

    def __call__(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        time: NDArray[np.float64],
        most: int,
        full: NDArray[np.bool_],
        width: int,
    ) -> list[Found]:
        """Find the instances of a block of prompts, the best ``most`` a pair.

        Args:
            history: int64 ``[S, H]``, -1 padding.
            candidates: int64 ``[S, C]``, -1 padding.
            time: float64 ``[S]``, NaN unknown; every edge must have stood before.
            most: the cap.
            full: bool ``[S * C * H]``, pairs that need no more paths, or can have none.
            width: columns of ``nodes``.

        Returns:
            Parts; each capped, none sorted in a way to rely on.
        """
        num_history, num_candidates = history.shape[1], candidates.shape[1]
        wanted = ~full.reshape(len(history), num_candidates, num_history)
        # Who has no such pair needs no walk.
        history = np.where(wanted.any(1), history, -1)
        candidates = np.where(wanted.any(2), candidates, -1)
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
        for rows in _blocks(count):
            row, entry = spread(start[rows], count[rows])
            row = rows[row]
            pair = right.slot[entry] * num_history + left.slot[row] % num_history
            open_ = ~full[pair]
            row, entry = row[open_], entry[open_]
            if len(row):
                joined = self._join(left.take(row), right.take(entry), time, num_history, width)
                parts.append(best(joined, most))
        return parts

    def _grow(self, items: NDArray[np.int64], lists: list[Adjacency], places: list[int]) -> _Half:
        """Walk from the items of a padded array; simple paths only."""
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
            inner = step + 1 < len(lists) or lists is self._outward
            degree, weight = self._inner(places[step + 1], node) if inner else (0, 1.0)
            grown = _Half(
                half.slot,
                np.concatenate([half.nodes, node[:, None]], 1),
                np.maximum(half.degree, degree),
                half.weight * edges.weight[place] * weight,
                np.maximum(half.time, edges.time[place]),
            )
            types = [self.types[p] for p in places[: step + 2]]
            half = grown.take(np.flatnonzero(_new(grown.nodes, types)))
        return half

    def _inner(
        self, place: int, node: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64] | float]:
        """Degree and weight factor of an inner node; the middle one counts on the history's side."""
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
    ) -> Found:
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
        return Found(
            pair[rows],
            np.full(len(rows), self.index),
            np.maximum(left.degree, right.degree)[rows],
            padded,
            (left.weight * right.weight)[rows],
        )


def _walks(lists: list[Adjacency]) -> NDArray[np.int64]:
    """Number of walks from each source through a chain of adjacency lists."""
    walks = np.ones(len(lists[-1].degree), np.int64)
    for edges in reversed(lists):
        sums = np.concatenate([[0], np.cumsum(walks[edges.target])])
        walks = sums[edges.indptr[1:]] - sums[edges.indptr[:-1]]
    return walks


def _new(nodes: NDArray[np.int64], types: list[str]) -> NDArray[np.bool_]:
    """Whether the last node is none of those before."""
    keep = np.ones(len(nodes), bool)
    for place, kind in enumerate(types[:-1]):
        if kind == types[-1]:
            keep &= nodes[:, place] != nodes[:, -1]
    return keep


def _blocks(count: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows in blocks that join to about ``BUDGET`` instances each."""
    rows = np.flatnonzero(count)
    if not len(rows):
        return []
    block = np.cumsum(count[rows]) // BUDGET
    return np.split(rows, np.flatnonzero(np.diff(block)) + 1)


def best(found: Found, most: int) -> Found:
    """The ``most`` best instances of each pair: shorter, then rarer, then meta-path, then nodes."""
    length = (found.nodes >= 0).sum(1)
    columns = [*found.nodes.T[::-1], found.metapath, found.degree, length, found.pair]
    order = np.lexsort(columns)
    return take(found, order[cap(found.pair[order], most)])


def in_order(found: Found) -> Found:
    """Sorted by pair, then meta-path, then nodes."""
    return take(found, np.lexsort([*found.nodes.T[::-1], found.metapath, found.pair]))


def take(found: Found, rows: NDArray[np.int64]) -> Found:
    """Some of the instances."""
    return Found(*(getattr(found, name)[rows] for name in Found.__dataclass_fields__))


def concatenate(parts: list[Found]) -> Found:
    """Several groups of instances as one."""
    return Found(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in Found.__dataclass_fields__)
    )
