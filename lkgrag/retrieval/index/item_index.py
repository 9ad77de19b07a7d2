"""The best items of the fused retriever without a score of every item.

Items come from two sources: those that a count system knows beside the history, by the rows of its items, and those
nearest to the history in an index of :class:`~lkgrag.retrieval.index.vectors.FusedVectors`. All of them are scored by
all systems. An item that neither source gives has no counts, and many items without counts are above it. So the best
items are those of a score of every item whenever the index finds the nearest ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.retrieval.index import library
from lkgrag.retrieval.index.counts import merged_keys
from lkgrag.retrieval.index.systems import IndexedSystems
from lkgrag.retrieval.index.vectors import FusedVectors
from lkgrag.retrieval.ranks import Seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.retriever import FusedRetriever
    from lkgrag.retrieval.index.systems import Asked

#: Items that the index gives to a history, at least, and per item of the list.
FETCHED, PER_ITEM = 200, 5
#: Items with counts of a history that are scored by all systems: those with most evidence of the count systems.
COUNTED = 4_096
#: Histories that are asked together.
ROWS = 128
#: Share of the catalogue that the index may give; beyond it, scoring every item is no slower.
LARGEST_SHARE = 0.5


@dataclass(frozen=True)
class ItemIndex:
    """An index of a fused retriever's items.

    Attributes:
        kind: ``flat``, ``hnsw`` or ``ivfpq``.
        seed: of what is drawn.
        vectors: of items and queries.
        index: of the library.
    """

    kind: str
    seed: int
    vectors: FusedVectors
    index: Any

    @classmethod
    def build(cls, retriever: FusedRetriever, kind: str, seed: int) -> ItemIndex:
        """Build an index.

        Args:
            retriever: whose systems :func:`~lkgrag.retrieval.index.systems.unfit_system` accepts.
            kind: ``flat``, ``hnsw`` or ``ivfpq``.
            seed: of what is drawn; equal seeds give equal indices.

        Raises:
            ConfigError: the library is not installed.
        """
        vectors = FusedVectors.of(IndexedSystems(retriever, seed), seed)
        index = library.build(kind, vectors.items, retriever.num_items, vectors.width, seed)
        return cls(kind, seed, vectors, index)

    def propose(
        self,
        histories: list[NDArray[np.int64]],
        k: int,
        allowed: NDArray[np.bool_] | None,
        mask_seen: bool,
        turn: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
        """The best ``k`` items for each history.

        Args:
            histories: item indices, oldest first.
            k: length of the lists.
            allowed: bool ``[I]``, the items that may be proposed; None for all.
            mask_seen: never propose an item of the history.
            turn: int64 ``[I]``, the order of ties.

        Returns:
            Items int64 ``[B, k]`` and scores float32 ``[B, k]``, best first; and bool ``[B]``, whether a list is whole. The
            others must be made by scoring every item.
        """
        number = len(histories)
        items = np.full((number, k), -1, np.int64)
        scores = np.full((number, k), -np.inf, np.float32)
        is_whole = np.zeros(number, np.bool_)
        empty = np.array([len(h) == 0 for h in histories], np.bool_)
        if empty.any():
            items[empty], scores[empty] = self._popular(k, allowed, turn)
            is_whole[empty] = True
        asked = np.flatnonzero(~empty)
        share = 1.0 if allowed is None else float(allowed.mean())
        for start in range(0, len(asked), ROWS):
            rows = asked[start : start + ROWS]
            some = [np.asarray(histories[r], np.int64) for r in rows]
            masked = max(len(h) for h in some) if mask_seen else 0
            fetched = (max(FETCHED, PER_ITEM * k) + masked) / share if share else np.inf
            if fetched > LARGEST_SHARE * len(turn):
                continue
            found = self._best(some, k, int(fetched), allowed, mask_seen, turn)
            items[rows], scores[rows], is_whole[rows] = found
        return items, scores, is_whole

    def _popular(
        self, k: int, allowed: NDArray[np.bool_] | None, turn: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The list of an empty history: the most popular items."""
        order = np.argsort(turn)
        order = order[:k] if allowed is None else order[allowed[order]][:k]
        items = np.full(k, -1, np.int64)
        scores = np.full(k, -np.inf, np.float32)
        items[: len(order)] = order
        scores[: len(order)] = self.vectors.systems.log_popularity[order]
        return items, scores

    def _best(
        self,
        histories: list[NDArray[np.int64]],
        k: int,
        fetched: int,
        allowed: NDArray[np.bool_] | None,
        mask_seen: bool,
        turn: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
        """The lists of some histories, none of which is empty; as of :meth:`propose`."""
        systems = self.vectors.systems
        size = systems.num_items
        asked = systems.ask(histories)
        nearest = library.search(self.index, self.vectors.queries(asked), fetched)
        place = np.repeat(np.arange(len(histories)), nearest.shape[1]) * size
        near = np.sort((place + nearest.ravel())[nearest.ravel() >= 0])
        seen = Seen.of(histories, mask_seen)
        hidden = np.unique(seen.row * size + seen.item)

        def visible(key: NDArray[np.int64]) -> NDArray[np.bool_]:
            out = ~np.isin(key, hidden, assume_unique=True)
            return out if allowed is None else out & allowed[key % size]

        # A list is whole only if the index alone could fill it: then nothing that it left out is better.
        filled = np.bincount(near[visible(near)] // size, minlength=len(histories))
        key = merged_keys([near, self._counted(asked)])
        row, item = np.divmod(key, size)
        score = systems.score(asked, row, item)
        shown = np.flatnonzero(visible(key))
        order = shown[np.lexsort((turn[item[shown]], -score[shown], row[shown]))]
        first = np.searchsorted(row[order], np.arange(len(histories)))
        rank = np.arange(len(order)) - first[row[order]]
        order, rank = order[rank < k], rank[rank < k]
        items = np.full((len(histories), k), -1, np.int64)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        items[row[order], rank] = item[order]
        scores[row[order], rank] = score[order]
        return items, scores, filled >= min(k, size)

    def _counted(self, asked: Asked) -> NDArray[np.int64]:
        """Pairs ``row * I + item`` that a count system knows; of many, those with most evidence."""
        systems = self.vectors.systems
        keys = [] if asked.itemitem is None else [asked.itemitem.key]
        keys += [] if asked.graph is None else [asked.graph.key]
        key = merged_keys(keys)
        row, item = np.divmod(key, systems.num_items)
        number = np.bincount(row, minlength=len(asked.histories))
        if not len(key) or number.max() <= COUNTED:
            return key
        evidence = systems.count_evidence(asked, row, item)
        first = np.cumsum(number) - number
        kept = np.ones(len(key), np.bool_)
        for mine in np.flatnonzero(number > COUNTED):
            part = slice(first[mine], first[mine] + number[mine])
            kept[part] = evidence[part] >= -np.partition(-evidence[part], COUNTED - 1)[COUNTED - 1]
        return key[kept]
