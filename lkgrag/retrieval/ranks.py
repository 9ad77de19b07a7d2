"""Masking, ranks and the best items of a list, the same for every system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.topk import best_of_rows
from lkgrag.utils.gains import discounted_gain, hit_gain, not_behind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events

#: Rank of a masked target: it comes after any list.
MISSED = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Seen:
    """Cells ``(row, item)`` of a block of scores that may not be proposed."""

    row: NDArray[np.int64]
    item: NDArray[np.int64]

    @classmethod
    def of(cls, histories: list[NDArray[np.int64]], mask: bool = True) -> Seen:
        """The cells of each row's whole history; none with ``mask=False``."""
        if not mask or not histories:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        row = np.repeat(np.arange(len(histories)), [len(h) for h in histories])
        return cls(row, np.concatenate(histories).astype(np.int64))


def histories_of(interactions: Interactions, events: Events) -> list[NDArray[np.int64]]:
    """All items before each event, oldest first."""
    start = interactions.indptr[events.user]
    return [interactions.item[s : s + n] for s, n in zip(start, events.position, strict=True)]


def pessimistic_ranks(
    scores: NDArray[np.float32], target: NDArray[np.int64], seen: Seen
) -> NDArray[np.int64]:
    """Rank of each target among the items not masked, 1 the best; equal scores count against it.

    Args:
        scores: float ``[B, I]``; NaN counts as the worst score there is.
        target: int64 ``[B]``.
        seen: masked cells.

    Returns:
        int64 ``[B]``; :data:`MISSED` where the target itself is masked.
    """
    rows = np.arange(len(target))
    ahead = not_behind(scores, scores[rows, target])
    ahead[seen.row, seen.item] = False
    hidden = ~ahead[rows, target]
    return np.where(hidden, MISSED, ahead.sum(1)).astype(np.int64)


def tie_order(popularity: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each item in the order of ties: the more popular first, then the smaller index; int64 ``[I]``."""
    turn = np.empty(len(popularity), np.int64)
    turn[np.lexsort((np.arange(len(popularity)), -popularity))] = np.arange(len(popularity))
    return turn


def top_k(
    scores: NDArray[np.float32], k: int, seen: Seen, turn: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best ``k`` items not masked; ties go to the more popular, then to the smaller index.

    Args:
        scores: float32 ``[B, I]``.
        k: length of the lists.
        seen: masked cells.
        turn: int64 ``[I]``, of :func:`tie_order`.

    Returns:
        Items int64 ``[B, k]`` (-1 where there are fewer) and scores float32 ``[B, k]`` (-inf there).
    """
    items = np.full((len(scores), k), -1, np.int64)
    values = np.full((len(scores), k), -np.inf, np.float32)
    if k < 1:
        return items, values
    order = np.argsort(seen.row, kind="stable")
    ptr = np.searchsorted(seen.row[order], np.arange(len(scores) + 1))
    block = np.ascontiguousarray(scores, np.float32)
    best_of_rows(block, ptr, seen.item[order], turn, k, items, values)
    return items, values


def ndcg(ranks: NDArray[np.int64], k: int) -> float:
    """NDCG@k of ranks, int64 ``[E]``; NaN without an event."""
    return float(discounted_gain(ranks, k).mean()) if len(ranks) else float("nan")


def recall(ranks: NDArray[np.int64], k: int) -> float:
    """Recall@k of ranks, int64 ``[E]``; NaN without an event."""
    return float(hit_gain(ranks, k).mean()) if len(ranks) else float("nan")
