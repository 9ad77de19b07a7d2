"""Edges that are counted on training interactions, by hand."""

import itertools
import math

import numpy as np
import pytest

from lkgrag.config import KGConfig
from lkgrag.kg.audience import Audience
from lkgrag.kg.base import Training
from lkgrag.kg.sources import co_rated as co_rated_module
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.counting import Pairs, count_users, item_degree, normalised
from lkgrag.kg.sources.followed_by import FollowedBy
from lkgrag.kg.sources.rated import Rated

NAN = float("nan")


def training(*sequences, times=None, num_items=6):
    """Users by their items in order; times by user and place, 10 * place + user by default."""
    user = [u for u, items in enumerate(sequences) for _ in items]
    position = [p for items in sequences for p in range(len(items))]
    if times is None:
        times = [[10 * p + u for p in range(len(items))] for u, items in enumerate(sequences)]
    return Training(
        user=np.array(user, np.int64),
        item=np.array([i for items in sequences for i in items], np.int64),
        position=np.array(position, np.int64),
        time=np.array([t for row in times for t in row], np.float64),
        rating=np.arange(len(user), dtype=np.float32),
        titles=(None,) * num_items,
        num_users=len(sequences),
    )


def options(**given):
    return KGConfig(**{"behaviour_min": 1, "follow_window": 1, **given})


def counts(edges):
    pairs = [(a, b) for a, b in edges.index.T.tolist()]
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, edges.count.tolist(), strict=True))


def times(source, given, **config):
    edges = source.edges(given, options(temporal=True, **config))
    return dict(zip(map(tuple, edges.index.T.tolist()), edges.time.tolist(), strict=True))


class TestFollowedBy:
    def test_the_window_counts_places(self):
        given = training([0, 1, 2, 3])
        near = {(0, 1): 1, (1, 2): 1, (2, 3): 1}
        wider = near | {(0, 2): 1, (1, 3): 1}
        windows = {1: near, 2: wider, 3: wider | {(0, 3): 1}, 9: wider | {(0, 3): 1}}
        for window, expected in windows.items():
            assert counts(FollowedBy().edges(given, options(follow_window=window))) == expected

    def test_no_edge_leads_from_one_user_to_the_next(self):
        given = training([0, 1], [2, 3], [], [4])
        assert set(counts(FollowedBy().edges(given, options(follow_window=5)))) == {(0, 1), (2, 3)}

    def test_a_user_counts_once_a_pair(self):
        given = training([0, 1, 0, 1], [0, 1])
        assert counts(FollowedBy().edges(given, options())) == {(0, 1): 2, (1, 0): 1}

    def test_an_item_does_not_follow_itself(self):
        given = training([0, 0, 1])
        assert set(counts(FollowedBy().edges(given, options(follow_window=2)))) == {(0, 1)}

    def test_the_least_number_of_users(self):
        given = training([0, 1, 2], [0, 1], [0, 1])
        for least, expected in {1: {(0, 1): 3, (1, 2): 1}, 2: {(0, 1): 3}, 4: {}}.items():
            assert counts(FollowedBy().edges(given, options(behaviour_min=least))) == expected

    def test_edges_are_sorted_and_typed(self):
        edges = FollowedBy().edges(training([3, 1, 2], [0, 1]), options(follow_window=2))
        assert edges.index.tolist() == [[0, 1, 3, 3], [1, 2, 1, 2]]
        assert edges.time is None
        assert edges.rating is None
        assert edges.attributes["count"].dtype == np.float32

    def test_the_weight_by_hand(self):
        given = training([0, 1], [0, 1], [0, 2], [3])
        edges = FollowedBy().edges(given, options())
        # Users of the items 0 to 3: 3, 2, 1, 1; the mean is 7 / 4, and counts once.
        mean = 7 / 4
        expected = [2 / math.sqrt((3 + mean) * (2 + mean)), 1 / math.sqrt((3 + mean) * (1 + mean))]
        assert edges.weight.tolist() == pytest.approx(expected, rel=1e-6)

    def test_the_time_is_that_of_the_last_user_needed(self):
        given = training([0, 1], [0, 1], [0, 1], times=[[1, 50], [2, 20], [3, 30]])
        assert times(FollowedBy(), given) == {(0, 1): 20}
        assert times(FollowedBy(), given, behaviour_min=2) == {(0, 1): 30}
        assert times(FollowedBy(), given, behaviour_min=3) == {(0, 1): 50}

    def test_the_first_time_of_each_user_counts(self):
        given = training([0, 1, 0, 1], [0, 1], times=[[1, 2, 3, 4], [5, 6]])
        assert times(FollowedBy(), given)[0, 1] == 2
        # Not 4, at which the first user had the pair again.
        assert times(FollowedBy(), given, behaviour_min=2)[0, 1] == 6

    def test_unknown_times_come_last(self):
        given = training([0, 1], [0, 1], times=[[NAN, NAN], [5, 7]])
        assert times(FollowedBy(), given) == {(0, 1): 7}
        assert math.isnan(times(FollowedBy(), given, behaviour_min=2)[0, 1])

    def test_users_at_the_same_time_both_count(self):
        given = training([0, 1], [0, 1], times=[[1, 9], [1, 9]])
        assert times(FollowedBy(), given, behaviour_min=2) == {(0, 1): 9}

    def test_words(self):
        viewers = Audience("viewer", "viewers", "seen")
        sentence = FollowedBy().sentence
        assert sentence(viewers, 12, "X", backward=False) == "seen next by 12 viewers of X"
        assert sentence(viewers, 1, "X", backward=True) == "seen shortly before X by 1 viewer"
        assert sentence(viewers, None, "X", backward=False) is None


class TestCoRated:
    def test_users_in_common_in_either_order(self):
        given = training([0, 1], [1, 0], [2, 0])
        edges = CoRated().edges(given, options())
        expected = {(0, 1): 2, (1, 0): 2, (0, 2): 1, (2, 0): 1}
        assert counts(edges) == expected
        assert (np.diff(edges.index[0] * 6 + edges.index[1]) > 0).all()

    def test_an_item_twice_counts_once(self):
        assert counts(CoRated().edges(training([0, 1, 0, 1]), options())) == {(0, 1): 1, (1, 0): 1}

    def test_the_least_number_of_users(self):
        given = training([0, 1, 2], [0, 1])
        assert set(counts(CoRated().edges(given, options(behaviour_min=2)))) == {(0, 1), (1, 0)}

    def test_the_weight_by_hand(self):
        edges = CoRated().edges(training([0, 1], [0, 1], [0]), options())
        shrunken = [3 + 0.25 * 5 / 2, 2 + 0.25 * 5 / 2]
        assert edges.weight.tolist() == pytest.approx([2 / math.sqrt(math.prod(shrunken))] * 2)

    def test_what_either_end_keeps_stays(self):
        # 0 and 1 have three users in common, 2 has one with each; 3 has one with 2 alone.
        given = training([0, 1], [0, 1], [0, 1, 2], [2, 3])
        assert set(counts(CoRated().edges(given, options(co_rated_top=1)))) == {
            pair for a, b in [(0, 1), (2, 3)] for pair in [(a, b), (b, a)]
        }
        everything = set(counts(CoRated().edges(given, options(co_rated_top=9))))
        assert {(0, 2), (1, 2)} < everything

    def test_equal_partners_go_by_their_index(self):
        # The item 5 has one user in common with each of the others, which have no other.
        given = training([5, 4], [5, 3], [5, 2], [5, 1])
        kept = set(counts(CoRated().edges(given, options(co_rated_top=1))))
        assert {(5, i) for i in (1, 2, 3, 4)} <= kept, "each of the others keeps the item 5"
        given = training([5, 4], [5, 3], [4, 3])
        kept = set(counts(CoRated().edges(given, options(co_rated_top=1))))
        # 5 keeps 3 and 4 keeps 3; 3 keeps 4: nobody keeps (4, 5).
        assert kept == {(5, 3), (3, 5), (4, 3), (3, 4)}

    @pytest.mark.parametrize("block", [1, 2, 5])
    def test_blocks_change_nothing(self, block, monkeypatch):
        rng = np.random.default_rng(0)
        given = training(*[rng.integers(0, 12, 6).tolist() for _ in range(30)], num_items=12)
        whole = CoRated().edges(given, options(co_rated_top=3, temporal=True))
        monkeypatch.setattr(co_rated_module, "BLOCK", block)
        parts = CoRated().edges(given, options(co_rated_top=3, temporal=True))
        np.testing.assert_array_equal(parts.index, whole.index)
        for name, values in whole.attributes.items():
            np.testing.assert_array_equal(parts.attributes[name], values)

    def test_the_time_is_when_the_last_user_needed_had_both(self):
        given = training([0, 1], [1, 0], [0, 1], times=[[1, 50], [2, 20], [3, 30]])
        for least, time in {1: 20, 2: 30, 3: 50}.items():
            assert times(CoRated(), given, behaviour_min=least) == {(0, 1): time, (1, 0): time}

    def test_the_first_time_of_each_item_counts(self):
        given = training([0, 1, 0], times=[[1, 5, 9]])
        assert times(CoRated(), given) == {(0, 1): 5, (1, 0): 5}

    def test_unknown_times_come_last(self):
        given = training([0, 1], [0, 1], times=[[NAN, 4], [5, 7]])
        assert times(CoRated(), given)[0, 1] == 7
        assert math.isnan(times(CoRated(), given, behaviour_min=2)[0, 1])

    def test_words(self):
        readers = Audience("reader", "readers", "read")
        for backward in (False, True):
            words = CoRated().sentence(readers, 2, "X", backward=backward)
            assert words == "also read by 2 readers of X"
        assert CoRated().sentence(readers, None, "X", backward=False) is None


class TestRated:
    def test_every_interaction_is_an_edge(self):
        given = training([2, 0, 2], [1])
        edges = Rated().edges(given, options())
        assert edges.index.tolist() == [[0, 0, 0, 1], [2, 0, 2, 1]]
        assert edges.rating.tolist() == [0, 1, 2, 3]
        assert edges.time.tolist() == [0, 10, 20, 1]
        assert list(edges.attributes) == ["rating", "time"]

    def test_interactions_are_counted_again(self):
        assert Rated().recount([[2, 0, 2], [1]], [(0, 2)], options()) == {
            (0, 2): 2,
            (0, 0): 1,
            (1, 1): 1,
        }


def test_options_switch_sources_on():
    for behaviour, users in itertools.product((True, False), repeat=2):
        config = KGConfig(behaviour=behaviour, users=users)
        enabled = [source().is_enabled(config) for source in (FollowedBy, CoRated, Rated)]
        assert enabled == [behaviour, behaviour, users]


@pytest.mark.parametrize("source", [FollowedBy(), CoRated()])
def test_both_counts_agree(source):
    """The edges' counts, which come of array operations, and those that the checks make one by one."""
    rng = np.random.default_rng(1)
    sequences = [rng.integers(0, 15, rng.integers(0, 9)).tolist() for _ in range(40)]
    config = options(follow_window=3, co_rated_top=99)
    found = counts(source.edges(training(*sequences, num_items=15), config))
    every = [(a, b) for a in range(15) for b in range(15) if a != b]
    again = source.recount(sequences, every, config)
    assert found == {pair: again[pair] for pair in every if again.get(pair, 0)}
    assert len(found) > 50


def test_nobody_has_chosen_anything():
    for source in (FollowedBy(), CoRated(), Rated()):
        for temporal in (False, True):
            edges = source.edges(training([], []), options(temporal=temporal))
            assert edges.index.shape == (2, 0)
            assert all(values.shape == (0,) for values in edges.attributes.values())


def test_degrees_and_weights():
    degree = item_degree(training([0, 0, 1], [0], [2]))
    assert degree.tolist() == [2, 1, 1, 0, 0, 0]
    index = np.array([[0], [1]])
    # Without shrinkage two who agree weigh all; with it less.
    full = normalised(np.array([1]), np.array([1, 1, 0]), index, 0.0)
    shrunken = normalised(np.array([1]), np.array([1, 1, 0]), index, 1.0)
    assert full.tolist() == [1.0]
    assert shrunken.tolist() == [0.5]
    assert full.dtype == np.float32


def test_pairs_of_a_custom_source_are_counted_alike():
    source, target = np.array([0, 0, 1, 3]), np.array([1, 1, 0, 3])
    pairs = Pairs(source, target, user=np.array([0, 0, 1, 1]), time=np.array([5.0, 2.0, 3.0, 1.0]))
    given = training([0, 1], [1, 0])
    edges = count_users(pairs, given, options(temporal=True), shrinkage=1.0)
    assert counts(edges) == {(0, 1): 1, (1, 0): 1}
    assert edges.time.tolist() == [2.0, 3.0]
