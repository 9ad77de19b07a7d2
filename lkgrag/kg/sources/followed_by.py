"""``followed_by``: what users choose soon after an item."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.kg.base import Edges, Relation, RelationSource, Training
from lkgrag.kg.sources.counting import Pairs, count_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lkgrag.config import KGConfig
    from lkgrag.kg.audience import Audience

#: Order is sparse and needs more shrinkage than company does. Of 0, 1/4, 1/2, 1, 2 and 4 this is the best
#: or near it for ranking all items on the validation parts of ml-100k, ml-latest-small and Amazon Beauty.
SHRINKAGE = 1.0


class FollowedBy(RelationSource):
    """Joins each item with the next ``kg.follow_window`` items of the same user."""

    relation = Relation(
        "followed_by", "item", "followed by", "follows", short="next", short_inverse="before"
    )

    def edges(self, training: Training, config: KGConfig) -> Edges:
        """Count the users of each ordered pair within the window."""
        source, target, user, time = [], [], [], []
        for gap in range(1, config.follow_window + 1):
            same = training.user[gap:] == training.user[:-gap]
            source.append(training.item[:-gap][same])
            target.append(training.item[gap:][same])
            user.append(training.user[gap:][same])
            time.append(training.time[gap:][same])
        pairs = Pairs(*(np.concatenate(column) for column in (source, target, user, time)))
        return count_users(pairs, training, config, SHRINKAGE)

    def sentence(
        self, audience: Audience, count: int | None, other: str, *, backward: bool
    ) -> str | None:
        """Who chose the one soon after the other."""
        if count is None:
            return None
        if backward:
            return f"{audience.did} shortly before {other} by {audience.count(count)}"
        return f"{audience.did} next by {audience.count(count)} of {other}"

    def recount(
        self, sequences: Sequence[Sequence[int]], pairs: Iterable[tuple[int, int]], config: KGConfig
    ) -> Mapping[tuple[int, int], int]:
        """Users of each ordered pair, one sequence at a time."""
        users: Counter[tuple[int, int]] = Counter()
        for items in sequences:
            of_user: set[tuple[int, int]] = set()
            for place, item in enumerate(items):
                following = items[place + 1 : place + 1 + config.follow_window]
                of_user.update((item, later) for later in following)
            users.update(of_user)
        return users
