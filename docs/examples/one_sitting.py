"""Items that people choose in one sitting, within half an hour of each other."""

import numpy as np

from lkgrag.kg import Pairs, Relation, RelationSource, count_users, register_relation_source

#: Longest pause in a sitting, in seconds.
PAUSE = 30 * 60
WORDS = "chosen in one sitting with"


@register_relation_source
class OneSitting(RelationSource):
    """Joins two items that a user chose right after each other, in either order."""

    relation = Relation("one_sitting", "item", WORDS, WORDS, short="sitting")
    symmetric = True

    def edges(self, training, config):
        """Count the users of each pair."""
        near = (training.user[1:] == training.user[:-1]) & (np.diff(training.time) <= PAUSE)
        first, second = training.item[:-1][near], training.item[1:][near]
        user, time = training.user[1:][near], training.time[1:][near]
        pairs = Pairs(
            source=np.concatenate([first, second]),
            target=np.concatenate([second, first]),
            user=np.concatenate([user, user]),
            time=np.concatenate([time, time]),
        )
        return count_users(pairs, training, config, shrinkage=1.0)

    def sentence(self, audience, count, other, *, backward):
        """Word an edge: "seen in one sitting with Alien (1979) by 3 viewers"."""
        if count is None:
            return None
        return f"{audience.did} in one sitting with {other} by {audience.count(count)}"
