import numpy as np
import torch
from helpers.sequences import sequences

from lkgrag.config import KGConfig
from lkgrag.kg import build_kg
from lkgrag.retrieval import GraphRetriever, ItemItemRetriever, PopularityRetriever
from lkgrag.retrieval.base import log_shares, recency
from lkgrag.retrieval.graph import relation_factors
from lkgrag.retrieval.itemitem import (
    BACKWARD,
    GAP,
    SHRINKAGE,
    SOURCE_POWER,
    TARGET_POWER,
    sequential_counts,
)
from lkgrag.testing import toy_interactions


def test_popularity_counts_training_items_only():
    x = sequences([0, 1, 2], [1, 2, 3], [1, 0, 3])
    popular = PopularityRetriever.fit(x, np.array([2, 1, 3]))
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
    retriever = ItemItemRetriever.fit(x, np.array([2, 2]), 0.5)
    degree = 2 + SHRINKAGE
    pair = (1 + BACKWARD) * degree**-SOURCE_POWER * degree**-TARGET_POWER
    scores = retriever.score([np.array([0]), np.array([0, 2]), np.array([], np.int64)])
    np.testing.assert_allclose(scores, [[0, pair, 0], [0, pair / 2, 0], [0, 0, 0]], rtol=1e-6)


def test_what_is_held_back_is_not_counted():
    x = sequences([0, 1, 2, 3], [0, 2, 1, 3])
    y = sequences([0, 1, 3, 2], [0, 2, 3, 1])
    end = np.array([2, 2])
    one, two = (ItemItemRetriever.fit(s, end, 0.8) for s in (x, y))
    assert (one.weight != two.weight).nnz == 0
    assert PopularityRetriever.fit(x, end).count.tolist() == (
        PopularityRetriever.fit(y, end).count.tolist()
    )


def toy_graph(config=None):
    x = toy_interactions()
    end = np.full(x.num_users, 3)
    data = build_kg(x, end, config or KGConfig(behaviour_min=1))
    item, popular = ItemItemRetriever.fit(x, end, 0.5), PopularityRetriever.fit(x, end)
    return data, GraphRetriever.fit(data, item, popular, 0.5)


def test_shared_values_count_by_rarity():
    data, graph = toy_graph(KGConfig(behaviour=False))
    first, second = graph.relations["directed_by"]
    affinity = (first @ second).toarray()
    # Ridley Scott made 0, 2 and 5; nobody else made those.
    rare = 1 / np.log(np.e + 3)
    np.testing.assert_allclose(affinity[0], [rare, 0, rare, 0, 0, rare, 0, 0, 0, 0], rtol=1e-6)
    assert "rated" not in graph.relations
    assert not any(name.startswith("rev_has") for name in relation_factors(data))


def test_features_are_log_probabilities():
    _, graph = toy_graph()
    features = graph.features([np.array([0, 3]), np.array([], np.int64)])
    assert list(features) == graph.components
    for name, value in features.items():
        assert np.isfinite(value).all(), name
        np.testing.assert_allclose(np.exp(value).sum(1), 1, rtol=1e-4)
    assert set(graph.features([np.array([0])], {"directed_by (lasting)"})) == {
        "directed_by (lasting)"
    }


def test_lasting_components_weigh_the_whole_history_alike():
    _, graph = toy_graph()
    past = [np.array([0, 3]), np.array([3, 0])]
    lasting = graph.features(past)["co_rated (lasting)"]
    latest = graph.features(past)["co_rated"]
    np.testing.assert_allclose(lasting[0], lasting[1], rtol=1e-5)
    assert (latest[0] != latest[1]).any()


def test_graph_score_is_the_weighted_sum():
    _, graph = toy_graph()
    past = [np.array([0, 3])]
    features = graph.features(past)
    weights = {n: 0.1 * i for i, n in enumerate(graph.components)}
    expected = sum(weights[n] * f for n, f in features.items())
    np.testing.assert_allclose(graph.reweighted(weights).score(past), expected, rtol=1e-4)
    only = graph.reweighted({"directed_by (lasting)": 1.0})
    scores = only.score([np.array([0])])[0]
    assert set(np.flatnonzero(scores > scores.min())) == {0, 2, 5}


def test_an_empty_history_gets_popularity():
    _, graph = toy_graph()
    empty = [np.array([], np.int64)]
    np.testing.assert_array_equal(graph.score(empty), graph.popularity.evidence(empty))


def test_direction_of_behaviour_is_kept():
    _, graph = toy_graph()
    ahead, back = graph.relations["followed_by"][0], graph.relations["rev_followed_by"][0]
    assert (ahead != back.T.tocsr()).nnz == 0
    assert (ahead != back).nnz > 0


def test_log_shares_are_finite_log_probabilities():
    out = log_shares(np.array([[0, 1, 3], [0, 0, 0]], np.float32))
    assert np.isfinite(out).all()
    np.testing.assert_allclose(np.exp(out).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(out[1], np.log(1 / 3), rtol=1e-5)


def test_save_and_load_give_equal_scores(tmp_path):
    _, graph = toy_graph()
    graph = graph.reweighted({n: (i + 1) / 100 for i, n in enumerate(graph.components)})
    past = [np.array([0, 3]), np.array([], np.int64), np.array([9, 8, 7, 6])]
    for number, system in enumerate((graph, graph.itemitem, graph.popularity)):
        folder = tmp_path / str(number)
        system.save(folder)
        loaded = type(system).load(folder)
        assert torch.equal(
            torch.from_numpy(loaded.score(past)), torch.from_numpy(system.score(past))
        )
        assert loaded.num_items == system.num_items
