"""A catalogue of which some items are new: their interactions are deleted wherever anything is learned.

A tenth of the items is new. Another tenth is *pseudo-new*: its interactions are deleted, too, but stage two may
learn from them what items without behaviour are worth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.splits.base import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Split

#: Share of the items that is new, and of those that are pseudo-new.
SHARE = 0.1


@dataclass(frozen=True)
class World:
    """A data set and the items that are deleted from its training interactions.

    Attributes:
        whole: all interactions.
        val: validation events of the split.
        train_end: int64 ``[num_users]``, training interactions of each user.
        new: bool ``[I]``.
        pseudo: bool ``[I]``, pseudo-new; no item is both.
    """

    whole: Interactions
    val: Events
    train_end: NDArray[np.int64]
    new: NDArray[np.bool_]
    pseudo: NDArray[np.bool_]

    @classmethod
    def draw(cls, whole: Interactions, split: Split, seed: int) -> World:
        """Draw both tenths with a seed."""
        order = np.random.default_rng([seed, 0xC01D]).permutation(whole.num_items)
        size = round(SHARE * whole.num_items)
        new, pseudo = np.zeros((2, whole.num_items), bool)
        new[order[:size]], pseudo[order[size : 2 * size]] = True, True
        return cls(whole, split.val, split.train_end, new, pseudo)

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Items that no system knows from behaviour, bool ``[I]``."""
        return self.new | self.pseudo

    @cached_property
    def fit_end(self) -> NDArray[np.int64]:
        """Training interactions without each user's last one, which is held back; int64 ``[num_users]``."""
        return self.train_end - (self.train_end >= 2)

    @cached_property
    def training(self) -> Interactions:
        """What systems are fitted on: neither held-back interactions nor those of hidden items."""
        return without(self.whole, self.fit_end, self.hidden)

    @cached_property
    def held(self) -> Events:
        """The held-back interactions, one a user."""
        user = np.flatnonzero(self.fit_end < self.train_end)
        return Events.at(self.whole, user, self.fit_end[user])

    def events(self, items: NDArray[np.bool_]) -> Events:
        """Validation events and held-back ones whose target is among some items, bool ``[I]``."""
        both = [part[items[part.target]] for part in (self.val, self.held)]
        return Events(*(np.concatenate([getattr(e, n) for e in both]) for n in vars(both[0])))

    def older(self, items: NDArray[np.bool_]) -> Events:
        """Training interactions with some items, but a user's first two and the held-back ones."""
        position, user = self.whole.position, self.whole.user
        place = np.flatnonzero(
            (position >= 2) & (position < self.fit_end[user]) & items[self.whole.item]
        )
        return Events(user[place], position[place], self.whole.item[place])

    def histories(self, events: Events) -> list[NDArray[np.int64]]:
        """The items before each event, oldest first, without hidden ones."""
        start = self.whole.indptr[events.user]
        parts = [self.whole.item[s : s + n] for s, n in zip(start, events.position, strict=True)]
        return [part[~self.hidden[part]] for part in parts]


def without(
    interactions: Interactions, train_end: NDArray[np.int64], hidden: NDArray[np.bool_]
) -> Interactions:
    """The first interactions of each user, but those with hidden items; users and items stay.

    Args:
        interactions: the sequences.
        train_end: int64 ``[num_users]``, how many interactions of each user to look at.
        hidden: bool ``[I]``.
    """
    keep = (interactions.position < train_end[interactions.user]) & ~hidden[interactions.item]
    indptr = np.zeros_like(interactions.indptr)
    np.cumsum(
        np.bincount(interactions.user[keep], minlength=interactions.num_users), out=indptr[1:]
    )
    columns = {name: getattr(interactions, name)[keep] for name in ("item", "rating", "time")}
    return replace(interactions, indptr=indptr, stats={}, **columns)
