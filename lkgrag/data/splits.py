"""Splits: which interactions train, and which are predicted from what precedes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError, DataError
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
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


def make_split(interactions: Interactions, config: DataConfig) -> Split:
    """Split by ``data.split``.

    ``leave_one_out``: the last item of each user is test, the one before validation. ``rolling``:
    the last ``n = data.rolling`` are test events, each predicted from all before it, and the ``n``
    before those are validation; nothing is trained on them. Users too short keep at least two
    training interactions and have fewer events. ``time``: see :func:`lkgrag.data.timesplit.time_split`.

    Raises:
        DataError: no user has the three interactions that a split needs, or a time is unknown that
            ``time`` needs.
        ConfigError: a number or a point in time does not fit.
    """
    n = config.rolling if config.split != "leave_one_out" else 1
    if n < 1:
        raise ConfigError(f"data.rolling must be at least 1, got {n}")
    if config.split == "time":
        from lkgrag.data.timesplit import time_split

        return time_split(interactions, config)
    if config.val_from is not None or config.test_from is not None:
        raise ConfigError("data.val_from and data.test_from need data.split=time")
    count = np.diff(interactions.indptr)
    floor = np.where(count >= 4, 2, 1)
    room = np.maximum(count - floor, 0)
    test_n = np.where(room >= 2, np.minimum(n, room // 2), 0)
    val_n = np.where(room >= 2, np.minimum(n, room - test_n), 0)
    if not test_n.any():
        raise DataError(
            "no user has three interactions, which a split needs; lower data.min_user or add data"
        )
    train_end = count - test_n - val_n
    return Split(
        train_end=train_end,
        val=span(interactions, train_end, val_n),
        test=span(interactions, train_end + val_n, test_n),
    )


def span(interactions: Interactions, start: NDArray[np.int64], n: NDArray[np.int64]) -> Events:
    """The events at the ``n[user]`` positions from ``start[user]``, int64 ``[num_users]`` each."""
    user = np.repeat(np.arange(len(n)), n)
    offset = np.arange(len(user)) - np.repeat(np.cumsum(n) - n, n)
    return Events.at(interactions, user, start[user] + offset)
