"""Queries: the rankings that a ranker is asked for, for users of the data and for unknown users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events


@dataclass(frozen=True)
class Queries:
    """``B`` rankings to make: histories and candidates, as padded arrays.

    Attributes:
        user: int64 ``[B]``, -1 for an unknown user.
        history_items: int64 ``[B, H]``, the latest items, oldest first, -1 padding on the right.
        history_rating: float32 ``[B, H]``, NaN where unknown.
        history_time: float64 ``[B, H]``, NaN where unknown.
        history_age: int64 ``[B, H]``, 0 for the latest item; -1 padding.
        time: float64 ``[B]``, of the prediction, NaN where unknown.
        candidate_items: int64 ``[B, C]``, in the retriever's order, -1 padding on the right.
        prior: float32 ``[B, C]``, log-softmax of the retriever's scores, ``-inf`` in padding.
        target: int64 ``[B]``, candidate slot of the true item, -1 if it is not a candidate.
    """

    user: NDArray[np.int64]
    history_items: NDArray[np.int64]
    history_rating: NDArray[np.float32]
    history_time: NDArray[np.float64]
    history_age: NDArray[np.int64]
    time: NDArray[np.float64]
    candidate_items: NDArray[np.int64]
    prior: NDArray[np.float32]
    target: NDArray[np.int64]

    __repr__ = sizes

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.user)

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Queries:
        """Select some of the queries."""
        return Queries(**{name: value[index] for name, value in vars(self).items()})

    @classmethod
    def from_events(
        cls,
        interactions: Interactions,
        events: Events,
        candidate_items: NDArray[np.int64],
        scores: NDArray[np.float32],
        history: int,
    ) -> Queries:
        """Make the queries for the events of a split.

        Args:
            interactions: the sequences; a query uses only what precedes its event.
            events: ``B`` events.
            candidate_items: int64 ``[B, C]``, -1 padding on the right.
            scores: float ``[B, C]``, the retriever's scores of the candidates.
            history: largest number of history items of a query; the latest are kept.
        """
        offset = np.arange(history)
        length = np.minimum(events.position, history)
        index = (interactions.indptr[events.user] + events.position - length)[:, None] + offset
        valid = offset < length[:, None]
        index = np.where(valid, index, 0)
        place = interactions.indptr[events.user] + events.position
        hit = (candidate_items == events.target[:, None]) & (candidate_items >= 0)
        return cls(
            user=events.user,
            history_items=np.where(valid, interactions.item[index], -1),
            history_rating=np.where(valid, interactions.rating[index], np.nan).astype(np.float32),
            history_time=np.where(valid, interactions.time[index], np.nan),
            history_age=np.where(valid, length[:, None] - 1 - offset, -1),
            time=interactions.time[place],
            candidate_items=candidate_items,
            prior=log_softmax(scores, candidate_items >= 0),
            # argmax fails for lists without any slot.
            target=np.where(hit.any(1), hit.argmax(1) if hit.shape[1] else -1, -1),
        )

    @classmethod
    def from_histories(
        cls,
        histories: list[NDArray[np.int64]],
        candidate_items: NDArray[np.int64],
        scores: NDArray[np.float32],
        history: int,
        ratings: list[NDArray[np.float32]] | None = None,
        user: NDArray[np.int64] | None = None,
    ) -> Queries:
        """Make queries for any histories; all times are unknown.

        Args:
            histories: ``B`` arrays of item indices, oldest first; any may be empty.
            candidate_items: int64 ``[B, C]``, -1 padding on the right.
            scores: float ``[B, C]``, the retriever's scores of the candidates.
            history: largest number of history items of a query; the latest are kept.
            ratings: of the items of each history, NaN where unknown; all are unknown by default.
            user: int64 ``[B]``, -1 for an unknown user; all are unknown by default.
        """
        num = len(histories)
        items = np.full((num, history), -1, np.int64)
        rating = np.full((num, history), np.nan, np.float32)
        age = np.full((num, history), -1, np.int64)
        for row, sequence in enumerate(histories):
            latest = np.asarray(sequence, np.int64)[-history:]
            n = len(latest)
            items[row, :n] = latest
            age[row, :n] = np.arange(n)[::-1]
            if ratings is not None:
                rating[row, :n] = np.asarray(ratings[row], np.float32)[-history:]
        return cls(
            user=np.full(num, -1, np.int64) if user is None else user,
            history_items=items,
            history_rating=rating,
            history_time=np.full((num, history), np.nan),
            history_age=age,
            time=np.full(num, np.nan),
            candidate_items=candidate_items,
            prior=log_softmax(scores, candidate_items >= 0),
            target=np.full(num, -1, np.int64),
        )


def log_softmax(scores: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Compute the log-softmax of each row over the entries where ``mask`` is true; the others are ``-inf``.

    Args:
        scores: float ``[B, C]``.
        mask: bool ``[B, C]``.

    Returns:
        float32 ``[B, C]``.
    """
    x = np.where(mask, scores.astype(np.float64), -np.inf)
    peak = x.max(1, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    total = np.exp(x - peak).sum(1, keepdims=True)
    # A row without any entry has a total of 0 and stays at minus infinity.
    out = x - peak - np.log(np.where(total > 0, total, 1.0))
    return out.astype(np.float32)
