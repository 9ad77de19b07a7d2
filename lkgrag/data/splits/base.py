"""The contract of a split: events to predict, and what precedes them trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions


@dataclass(frozen=True)
class Events:
    """Predictions to make: item at ``position`` of ``user`` from the items before it.

    Attributes:
        user: int64 ``[E]``.
        position: int64 ``[E]``, within the user's sequence; the history is everything before.
        target: int64 ``[E]``, the item at that position.
    """

    user: NDArray[np.int64]
    position: NDArray[np.int64]
    target: NDArray[np.int64]

    __repr__ = sizes

    def __len__(self) -> int:
        """Number of events."""
        return len(self.user)

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Events:
        """A part of the events."""
        return Events(self.user[index], self.position[index], self.target[index])

    @classmethod
    def at(
        cls, interactions: Interactions, user: NDArray[np.int64], position: NDArray[np.int64]
    ) -> Events:
        """Events at the given places."""
        return cls(user, position, interactions.item[interactions.indptr[user] + position])


@dataclass(frozen=True)
class Spans:
    """Where the parts of a split lie in each user's sequence, int64 ``[num_users]`` each.

    Attributes:
        train_end: number of training interactions.
        val_start: position of the first event of validation.
        val_number: number of events of validation.
        test_start: likewise of the test.
        test_number: likewise.
    """

    train_end: NDArray[np.int64]
    val_start: NDArray[np.int64]
    val_number: NDArray[np.int64]
    test_start: NDArray[np.int64]
    test_number: NDArray[np.int64]

    def split(self, interactions: Interactions) -> Split:
        """The events at these places."""
        return Split(
            train_end=self.train_end,
            val=span(interactions, self.val_start, self.val_number),
            test=span(interactions, self.test_start, self.test_number),
        )


@dataclass(frozen=True)
class Split:
    """Training is everything before ``train_end``; ``val`` and ``test`` lie behind it.

    Attributes:
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        val: events of the validation part.
        test: events of the test part; their histories hold the validation items.
    """

    train_end: NDArray[np.int64]
    val: Events
    test: Events

    __repr__ = sizes

    def train_mask(self, interactions: Interactions) -> NDArray[np.bool_]:
        """Which interactions train, bool ``[N]``."""
        return interactions.position < self.train_end[interactions.user]

    def holdback(
        self, interactions: Interactions, window: int, users: float, seed: int
    ) -> tuple[NDArray[np.int64], Events]:
        """Hold the last training interactions of some users back, for cross-fitting.

        At least half of a user's training interactions (and one) stay.

        Args:
            interactions: the sequences.
            window: most interactions held back a user.
            users: share of the users, drawn with ``seed``.
            seed: of the draw.

        Returns:
            The reduced ``train_end`` and the held-back events.
        """
        held = np.minimum(window, self.train_end // 2)
        if users < 1.0:
            rng = np.random.default_rng([seed, 0x5EED])
            held = np.where(rng.random(len(held)) < users, held, 0)
        fit_end = self.train_end - held
        user = np.repeat(np.arange(len(held)), held)
        first = np.repeat(np.cumsum(held) - held, held)
        position = fit_end[user] + np.arange(len(user)) - first
        return fit_end, Events.at(interactions, user, position)


def span(interactions: Interactions, start: NDArray[np.int64], n: NDArray[np.int64]) -> Events:
    """The events at the ``n[user]`` positions from ``start[user]``, int64 ``[num_users]`` each."""
    user = np.repeat(np.arange(len(n)), n)
    offset = np.arange(len(user)) - np.repeat(np.cumsum(n) - n, n)
    return Events.at(interactions, user, start[user] + offset)


def every_training_event(interactions: Interactions, train_end: NDArray[np.int64]) -> Events:
    """Each training interaction but a user's first, as an event to predict from those before it."""
    return span(interactions, np.ones_like(train_end), np.maximum(train_end - 1, 0))
