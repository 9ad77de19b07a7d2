"""``rated``: who has interacted with what, in training."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lkgrag.kg.base import Edges, Relation, RelationSource, Training

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lkgrag.config import KGConfig


class Rated(RelationSource):
    """Joins each user with the items of the training interactions, with rating and time.

    An item that a user has chosen twice has two edges.
    """

    relation = Relation(
        "rated", "item", "rated", "rated by", short="rated", short_inverse="rated by"
    )
    owner: ClassVar = "user"

    def is_enabled(self, config: KGConfig) -> bool:
        """With ``kg.users``."""
        return config.users

    def edges(self, training: Training, config: KGConfig) -> Edges:
        """One edge for each interaction."""
        index = np.stack([training.user, training.item])
        return Edges(index, rating=training.rating, time=training.time)

    def recount(
        self, sequences: Sequence[Sequence[int]], pairs: Iterable[tuple[int, int]], config: KGConfig
    ) -> Mapping[tuple[int, int], int]:
        """Interactions of each user with each item."""
        return Counter((user, item) for user, items in enumerate(sequences) for item in items)
