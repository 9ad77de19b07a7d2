"""Instances of short meta-paths, many prompts at a time: relations between items and shared values.

An instance of these is a pair of slots and one number: the *rank* of its meta-path and middle node in
the order of preference. So a batch is joined, ordered and cut by sorting one array of integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.adjacency import cap, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeType

    from lkgrag.paths.adjacency import Adjacency
    from lkgrag.paths.batch import MetaPath


@dataclass(frozen=True)
class Found:
    """Instances of a block of prompts.

    Attributes:
        pair: int64 ``[P]``, ``(sample * C + candidate) * H + history``, samples counted in the block.
        metapath: int64 ``[P]``.
        degree: int64 ``[P]``, largest degree of an inner node, 0 for none.
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
        metapaths: all meta-paths; those that are neither are passed over.
        adjacency: of each edge type.
        chosen: indices of the meta-paths to find, of one edge or of two.
        num_items: number of items.
    """

    def __init__(
        self,
        metapaths: list[MetaPath],
        adjacency: dict[EdgeType, Adjacency],
        chosen: list[int],
        num_items: int,
    ) -> None:
        self.num_items = num_items
        self.direct = np.array([m for m in chosen if len(metapaths[m]) == 1], np.int64)
        self._index_direct([adjacency[metapaths[m][0]] for m in self.direct])
        shared = [m for m in chosen if len(metapaths[m]) == 2]
        self._index_shared(shared, [[adjacency[e] for e in metapaths[m]] for m in shared])

    def _index_direct(self, lists: list[Adjacency]) -> None:
        """One table of all edges between items, keyed by the pair."""
        number = np.repeat(np.arange(len(lists)), [len(a.target) for a in lists])
        join = [np.zeros(0, np.int64)]
        key = np.concatenate([a.source * self.num_items + a.target for a in lists] or join)
        order = np.lexsort((number, key))
        self._edge_number = number[order]
        self._edge_weight = np.concatenate([a.weight for a in lists] or join)[order]
        self._edge_time = np.concatenate([a.time for a in lists] or join)[order]
        self._keys, self._key_start, self._key_count = np.unique(
            key[order], return_index=True, return_counts=True
        )

    def _index_shared(self, shared: list[int], lists: list[list[Adjacency]]) -> None:
        """Number all middle nodes of all meta-paths through, and list each item's."""
        outward: list[NDArray] = []
        inward: list[NDArray] = []
        owner, node, degree = [], [], []
        offset = 0
        for metapath, (first, second) in zip(shared, lists, strict=True):
            size = len(first.degree)
            into, out = first.degree, np.diff(second.indptr)
            # A value whose only item is the same on either side joins nothing.
            ends = np.full((2, size), -1, np.int64)
            ends[0, first.target] = first.source
            ends[1, second.source] = second.target
            lone = (into == 1) & (out == 1) & (ends[0] == ends[1])
            useful = (into > 0) & (out > 0) & ~lone
            for edges, item, middle in (
                (outward, first.source, first.target),
                (inward, second.target, second.source),
            ):
                keep = useful[middle]
                edges.append(np.stack([item[keep], middle[keep] + offset]))
            owner.append(np.full(size, metapath))
            node.append(np.arange(size))
            degree.append(first.degree)
            offset += size
        none = [np.zeros(0, np.int64)]
        self._owner = np.concatenate(owner or none)
        self._node = np.concatenate(node or none)
        self._degree = np.concatenate(degree or none)
        self._outward = self._lists(outward)
        self._inward = self._lists(inward)
        # Preference: rarer first, then meta-path and node, which is the numbering itself.
        self._by_rank = np.lexsort((np.arange(offset), self._degree))
        self._rank = np.empty(offset, np.int64)
        self._rank[self._by_rank] = np.arange(offset)

    def _lists(self, edges: list[NDArray]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        both = np.concatenate(edges, 1) if edges else np.zeros((2, 0), np.int64)
        both = both[:, np.lexsort((both[1], both[0]))]
        indptr = np.zeros(self.num_items + 1, np.int64)
        np.cumsum(np.bincount(both[0], minlength=self.num_items), out=indptr[1:])
        return indptr, both[1]

    def __call__(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        time: NDArray[np.float64],
        most: int,
        width: int,
    ) -> Found:
        """Find the instances of a block of prompts, the best ``most`` a pair.

        Args:
            history: int64 ``[S, H]``, -1 padding.
            candidates: int64 ``[S, C]``, -1 padding.
            time: float64 ``[S]``; edges between items must have stood before, where that is known.
            most: the cap.
            width: columns of ``nodes``.

        Returns:
            Sorted by pair, then meta-path, then nodes.
        """
        num_direct, ranks = len(self.direct), len(self.direct) + len(self._node)
        pair, number, weight = self._direct(history, candidates, time)
        shared_pair, middle = self._shared(history, candidates)
        key = np.concatenate(
            [pair * ranks + number, shared_pair * ranks + num_direct + self._rank[middle]]
        )
        key.sort()
        pairs = key // ranks
        keep = cap(pairs, most)
        key, pairs = key[keep], pairs[keep]
        rank = key - pairs * ranks
        shared = rank >= num_direct
        rank[shared] = self._by_rank[rank[shared] - num_direct] + num_direct
        key = pairs * ranks + rank
        key.sort()
        return self._decode(
            key, ranks, history, candidates, (pair * num_direct + number, weight), width
        )

    def _direct(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64], time: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """All edges between a history item and a candidate: pair, number of the relation, weight."""
        if not len(self._keys):
            none = np.zeros(0, np.int64)
            return none, none, np.zeros(0)
        key = history[:, None, :] * self.num_items + candidates[:, :, None]
        valid = (history >= 0)[:, None, :] & (candidates >= 0)[:, :, None]
        pair = np.flatnonzero(valid)
        key = key.reshape(-1)[pair]
        place = np.searchsorted(self._keys, key)
        place[place == len(self._keys)] = 0
        hit = np.flatnonzero(self._keys[place] == key)
        place = place[hit]
        row, edge = spread(self._key_start[place], self._key_count[place])
        pair = pair[hit][row]
        sample = pair // (history.shape[1] * candidates.shape[1])
        # An unknown time of the prediction (NaN) hides nothing.
        before = ~(self._edge_time[edge] >= time[sample])
        edge = edge[before]
        return pair[before], self._edge_number[edge], self._edge_weight[edge]

    def _shared(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All values that a history item and a candidate share: pair and middle number."""
        num_history, num_candidates = history.shape[1], candidates.shape[1]
        size = len(self._node)
        left, left_slot = self._expand(self._outward, history)
        right, right_slot = self._expand(self._inward, candidates)
        # Keys are (sample, middle); the candidate's slot rides along in the lowest digits.
        left = left_slot // num_history * size + left
        packed = right_slot // num_candidates * size + right
        packed = packed * num_candidates + right_slot % num_candidates
        packed.sort()
        keys = packed // num_candidates
        edges = np.flatnonzero(np.diff(keys, prepend=-1))
        unique = keys[edges]
        place = np.searchsorted(unique, left)
        place[place == len(unique)] = 0
        hit = np.flatnonzero(unique[place] == left) if len(unique) else np.zeros(0, np.int64)
        place = place[hit]
        count = np.diff(edges, append=len(keys))[place] if len(unique) else place
        row, entry = spread(edges[place] if len(unique) else place, count)
        row = hit[row]
        slot = left_slot[row]
        candidate = packed[entry] - keys[entry] * num_candidates
        sample = slot // num_history
        other = history.reshape(-1)[slot] != candidates[sample, candidate]
        sample, candidate, slot, row = sample[other], candidate[other], slot[other], row[other]
        pair = (sample * num_candidates + candidate) * num_history + slot % num_history
        return pair, left[row] - sample * size

    @staticmethod
    def _expand(
        lists: tuple[NDArray[np.int64], NDArray[np.int64]], items: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The middle numbers of all items of a padded array, each with its flat slot."""
        indptr, middle = lists
        flat = items.reshape(-1)
        slot = np.flatnonzero(flat >= 0)
        start = indptr[flat[slot]]
        row, place = spread(start, indptr[flat[slot] + 1] - start)
        return middle[place], slot[row]

    def _decode(
        self,
        key: NDArray[np.int64],
        ranks: int,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        direct: tuple[NDArray[np.int64], NDArray[np.float64]],
        width: int,
    ) -> Found:
        """From sorted keys ``pair * ranks + number`` back to columns."""
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
        one, two = np.flatnonzero(number < num_direct), np.flatnonzero(number >= num_direct)
        if len(one):
            metapath[one] = self.direct[number[one]]
            table = np.zeros(history.size * candidates.shape[1] * num_direct)
            table[direct[0]] = direct[1]
            weight[one] = table[pair[one] * num_direct + number[one]]
        if len(two):
            middle = number[two] - num_direct
            metapath[two], degree[two] = self._owner[middle], self._degree[middle]
            nodes[two, 1], nodes[two, 2] = self._node[middle], end[two]
            weight[two] = rarity(degree[two])
        return Found(pair, metapath, degree, nodes, weight)


def rarity(degree: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""How telling a shared value is, :math:`1 / \log_2(1 + d)`, in (0, 1]."""
    return 1.0 / np.log2(1.0 + np.maximum(degree, 1))
