"""The events that decide when the training of LRURec stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.ranks import histories_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events


@dataclass(frozen=True)
class ValidationEvents:
    """Held-back items and what precedes them, which may be held back, too.

    Attributes:
        histories: ``E`` arrays of item indices, oldest first.
        target: int64 ``[E]``.
    """

    histories: list[NDArray[np.int64]]
    target: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.target)

    @classmethod
    def of(cls, interactions: Interactions, events: Events) -> ValidationEvents:
        """Events of sequences, each with all items before it."""
        return cls(histories_of(interactions, events), events.target)

    def sample(self, number: int, seed: int) -> ValidationEvents:
        """At most ``number`` events, drawn at random; they keep their order."""
        if len(self) <= number:
            return self
        drawn = np.random.default_rng([seed, 0x1D]).choice(len(self), number, replace=False)
        kept = np.sort(drawn)
        return ValidationEvents([self.histories[i] for i in kept], self.target[kept])
