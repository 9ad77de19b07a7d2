"""Training lists of drawn negatives."""

import numpy as np

from lkgrag.config import DataConfig
from lkgrag.data import make_split
from lkgrag.data.splits import every_training_event
from lkgrag.testing import planted, toy_interactions
from lkgrag.training.negatives import uniform_queries


def test_uniform_lists():
    x = planted(num_users=60, num_items=40, seed=3)
    end = make_split(x, DataConfig()).train_end
    events = every_training_event(x, end)
    assert len(events) == int((end - 1).sum())
    queries = uniform_queries(x, events, 8, 4, seed=0)
    again = uniform_queries(x, events, 8, 4, seed=0)
    assert np.array_equal(queries.candidate_items, again.candidate_items)
    other = uniform_queries(x, events, 8, 4, seed=1)
    assert not np.array_equal(queries.candidate_items, other.candidate_items)
    for row in range(len(events)):
        user, position = events.user[row], events.position[row]
        past = set(x.sequence(user)[:position].tolist())
        items = queries.candidate_items[row]
        assert len(set(items.tolist())) == 8
        negatives = set(items.tolist()) - {events.target[row]}
        assert len(negatives) == 7
        assert not negatives & past
    counts = np.bincount(queries.target, minlength=8)
    assert counts.min() > len(events) / 8 * 0.5


def test_uniform_lists_of_a_small_catalogue():
    x = toy_interactions()
    events = every_training_event(x, np.full(x.num_users, 4))
    queries = uniform_queries(x, events, 20, 4, seed=0)
    for row in range(len(events)):
        items = queries.candidate_items[row]
        past = set(x.sequence(events.user[row])[: events.position[row]].tolist())
        assert set(items[items >= 0].tolist()) == set(range(x.num_items)) - past | {
            events.target[row]
        }
