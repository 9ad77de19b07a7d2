"""The search for instances of short meta-paths: relations between items, and values that items share.

Such an instance is a pair of slots and one number: the *rank* of its meta-path and middle node in the order
of preference. So sorting one array of integers joins, orders and cuts a whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.adjacency import cap, spread
from lkgrag.paths.metapath_search.lookup import edges_between, values_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.paths.metapath_search.tables import PathTables


@dataclass(frozen=True)
class Instances:
    """Path instances of a block of prompts.

    Attributes:
        pair: int64 ``[P]``, ``(sample * C + candidate) * H + history``; samples are counted in the block.
        metapath: int64 ``[P]``.
        degree: int64 ``[P]``, largest degree of an inner node, 0 without inner nodes.
        nodes: int64 ``[P, L]``, -1 padding.
        weight: float64 ``[P]``.
    """

    pair: NDArray[np.int64]
    metapath: NDArray[np.int64]
    degree: NDArray[np.int64]
    nodes: NDArray[np.int64]
    weight: NDArray[np.float64]


class ShortPaths:
    """Finds the instances of meta-paths of one edge, and of two edges over a shared value.

    Args:
        direct: numbers of the meta-paths of one edge, in the order of the tables' relations.
        tables: the tables of the graph.
    """

    def __init__(self, direct: list[int], tables: PathTables) -> None:
        self.tables = tables
        self.direct = np.array(direct, np.int64)

    def __call__(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        time: NDArray[np.float64],
        most: int,
        width: int,
    ) -> Instances:
        """Find the instances of a block of prompts, at most the ``most`` best of each pair.

        Args:
            history: int64 ``[S, H]``, -1 padding.
            candidates: int64 ``[S, C]``, -1 padding.
            time: float64 ``[S]``, NaN unknown; edges between items must exist before it.
            most: the cap.
            width: columns of ``nodes``.

        Returns:
            Sorted by pair, then meta-path, then nodes.
        """
        num_direct, ranks = len(self.direct), len(self.direct) + len(self.tables.node)
        pair, number, weight = self._direct(history, candidates, time)
        shared_pair, middle = self._shared(history, candidates)
        key = np.concatenate(
            [pair * ranks + number, shared_pair * ranks + num_direct + self.tables.rank[middle]]
        )
        key.sort()
        pairs = key // ranks
        keep = cap(pairs, most)
        key, pairs = key[keep], pairs[keep]
        rank = key - pairs * ranks
        shared = rank >= num_direct
        rank[shared] = self.tables.by_rank[rank[shared] - num_direct] + num_direct
        key = pairs * ranks + rank
        key.sort()
        return self._decode(
            key, ranks, history, candidates, (pair * num_direct + number, weight), width
        )

    def _direct(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64], time: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Find all edges between a history item and a candidate: pair, number of the relation, weight."""
        t = self.tables
        size = history.size * candidates.shape[1] * len(self.direct)
        pair, number, edge = (np.empty(size, np.int64) for _ in range(3))
        count = edges_between(history, candidates, t.edge_ptr, t.edge_target, pair, number, edge)
        pair, number, edge = pair[:count], number[:count], edge[:count]
        if len(t.edge_time):
            sample = pair // (history.shape[1] * candidates.shape[1])
            # If the time of the prediction is unknown (NaN), no edge is hidden.
            before = ~(t.edge_time[edge] >= time[sample])
            pair, number, edge = pair[before], number[before], edge[before]
        return pair, number, t.edge_weight[edge].astype(np.float64)

    def _shared(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find all values that a history item and a candidate share: pair and number of the value."""
        t, num_candidates = self.tables, candidates.shape[1]
        size = len(t.node)
        # A key is (sample, value); its lowest digits hold the candidate's slot.
        value, slot = self._expand(t.in_ptr, t.in_value, candidates)
        packed = (slot // num_candidates * size + value) * num_candidates + slot % num_candidates
        packed.sort()
        pair, shared = values_between(history, candidates, t.out_ptr, t.out_value, size, packed)
        return pair, shared

    @staticmethod
    def _expand(
        indptr: NDArray[np.int64], value: NDArray[np.int32], items: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """List the values of all items of a padded array, each with the flat slot of its item."""
        flat = items.reshape(-1)
        slot = np.flatnonzero(flat >= 0)
        start = indptr[flat[slot]]
        row, place = spread(start, indptr[flat[slot] + 1] - start)
        return value[place].astype(np.int64), slot[row]

    def _decode(
        self,
        key: NDArray[np.int64],
        ranks: int,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        direct: tuple[NDArray[np.int64], NDArray[np.float64]],
        width: int,
    ) -> Instances:
        """Turn sorted keys ``pair * ranks + number`` back into columns."""
        num_direct = len(self.direct)
        pair = key // ranks
        number = key - pair * ranks
        slot = pair // history.shape[1]
        start = history[slot // candidates.shape[1], pair % history.shape[1]]
        end = candidates.reshape(-1)[slot]
        nodes = np.full((len(key), width), -1, np.int64)
        nodes[:, 0], nodes[:, 1] = start, end
        metapath, degree = np.zeros_like(key), np.zeros_like(key)
        weight = np.ones(len(key))
        is_edge = number < num_direct
        edge, shared = np.flatnonzero(is_edge), np.flatnonzero(~is_edge)
        if len(edge):
            metapath[edge] = self.direct[number[edge]]
            table = np.zeros(history.size * candidates.shape[1] * num_direct)
            table[direct[0]] = direct[1]
            weight[edge] = table[pair[edge] * num_direct + number[edge]]
        if len(shared):
            value = number[shared] - num_direct
            metapath[shared], degree[shared] = self.tables.owner[value], self.tables.degree[value]
            nodes[shared, 1], nodes[shared, 2] = self.tables.node[value], end[shared]
            weight[shared] = rarity(degree[shared])
        return Instances(pair, metapath, degree, nodes, weight)


def rarity(degree: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""Rate how much a shared value of this degree says: :math:`1 / \log_2(1 + d)`, in (0, 1]."""
    return 1.0 / np.log2(1.0 + np.maximum(degree, 1))
