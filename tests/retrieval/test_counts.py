import numpy as np
from helpers.sequences import sequences

from lkgrag.retrieval import ItemItemRetriever, PopularityRetriever
from lkgrag.retrieval.base import log_shares, recency
from lkgrag.retrieval.itemitem import (
    BACKWARD,
    GAP,
    SHRINKAGE,
    SOURCE_POWER,
    TARGET_POWER,
    sequential_counts,
)


def test_popularity_counts_training_items_only():
    x = sequences([0, 1, 2], [1, 2, 3], [1, 0, 3])
    popular = PopularityRetriever.fit(x.first(np.array([2, 1, 3])))
    assert popular.count.tolist() == [2, 3, 0, 1]
    assert popular.score([np.zeros(0, np.int64)] * 2).tolist() == [[2, 3, 0, 1]] * 2


def test_recency_weights_by_age():
    weight = recency([np.array([3, 1]), np.array([], np.int64), np.array([2, 2])], 0.5, 4)
    assert weight.toarray().tolist() == [[0, 1, 0, 0.5], [0, 0, 0, 0], [0, 0, 1.5, 0]]


def test_sequential_counts_by_hand():
    counts = sequential_counts([np.array([0, 1, 2]), np.array([1, 2, 1])], 3).toarray()
    expected = np.zeros((3, 3))
    expected[0, 1] = 1
    expected[0, 2] = GAP
    expected[1, 2] = 1 + 1
    expected[2, 1] = 1
    np.testing.assert_allclose(counts, expected)


def test_itemitem_scores_by_hand():
    x = sequences([0, 1, 2], [1, 0, 2])
    retriever = ItemItemRetriever.fit(x.first(np.array([2, 2])), decay=0.5)
    degree = 2 + SHRINKAGE
    pair = (1 + BACKWARD) * degree**-SOURCE_POWER * degree**-TARGET_POWER
    scores = retriever.score([np.array([0]), np.array([0, 2]), np.array([], np.int64)])
    np.testing.assert_allclose(scores, [[0, pair, 0], [0, pair / 2, 0], [0, 0, 0]], rtol=1e-6)


def test_what_is_held_back_is_not_counted():
    x = sequences([0, 1, 2, 3], [0, 2, 1, 3])
    y = sequences([0, 1, 3, 2], [0, 2, 3, 1])
    end = np.array([2, 2])
    one, two = (ItemItemRetriever.fit(s.first(end), decay=0.8) for s in (x, y))
    assert (one.weight != two.weight).nnz == 0
    counts = [PopularityRetriever.fit(s.first(end)).count.tolist() for s in (x, y)]
    assert counts[0] == counts[1]


def test_log_shares_are_finite_log_probabilities():
    out = log_shares(np.array([[0, 1, 3], [0, 0, 0]], np.float32))
    assert np.isfinite(out).all()
    np.testing.assert_allclose(np.exp(out).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(out[1], np.log(1 / 3), rtol=1e-5)


def test_saved_counts_give_equal_scores(tmp_path):
    x = sequences([0, 1, 2, 3], [0, 2, 1, 3])
    past = [np.array([0, 3]), np.array([], np.int64), np.array([2, 2, 1])]
    for system in (ItemItemRetriever.fit(x, decay=0.7), PopularityRetriever.fit(x)):
        system.save(tmp_path / system.name)
        loaded = type(system).load(tmp_path / system.name)
        np.testing.assert_array_equal(loaded.score(past), system.score(past))
        assert loaded.num_items == system.num_items
