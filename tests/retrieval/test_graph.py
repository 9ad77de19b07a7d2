"""The retriever of the knowledge graph's relations, checked by hand on a graph of four items."""

import numpy as np
import pytest
import torch
from helpers.sequences import sequences
from torch_geometric.data import HeteroData

from lkgrag.config import KGConfig
from lkgrag.errors import LkgragError
from lkgrag.kg import as_of, build_kg
from lkgrag.retrieval import GraphRetriever
from lkgrag.retrieval.base import UNIFORM, log_shares
from lkgrag.retrieval.graph import COUNTS, LASTING, POPULAR, relation_factors
from lkgrag.testing import toy_interactions

DECAY = 0.5
EMPTY = np.zeros(0, np.int64)
#: Items and their values of the relation to values: item 3 has none, value 1 is shared by all others.
VALUES = [(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)]


def edges(*pairs):
    return torch.tensor(pairs).T.reshape(2, -1)


def hand_graph():
    """``leads_to`` with weights 0 -> 1 and 0 -> 2, its inverse, and ``has_value`` to two values."""
    data = HeteroData()
    data["item"].num_nodes = 4
    data["value"].num_nodes = 2
    data["user"].num_nodes = 3
    data["item", "leads_to", "item"].edge_index = edges((0, 1), (0, 2))
    data["item", "leads_to", "item"].weight = torch.tensor([0.75, 0.25])
    data["item", "rev_leads_to", "item"].edge_index = edges((1, 0), (2, 0))
    data["item", "rev_leads_to", "item"].weight = torch.tensor([0.75, 0.25])
    data["item", "has_value", "value"].edge_index = edges(*VALUES)
    data["value", "rev_has_value", "item"].edge_index = edges(*VALUES).flip(0)
    data["user", "rated", "item"].edge_index = edges((0, 3), (1, 3))
    data["item", "rev_rated", "user"].edge_index = edges((3, 0), (3, 1))
    return data


def hand_retriever(**weights):
    x = sequences([0, 1, 2], [3, 1], [1, 2])
    retriever = GraphRetriever.fit(x, hand_graph(), decay=DECAY)
    return retriever.reweighted(weights) if weights else retriever


def two_sources():
    """Items 0 and 3 lead to different ones, so that the shares show what each of them counts."""
    data = hand_graph()
    data["item", "leads_to", "item"].edge_index = edges((0, 1), (3, 2))
    data["item", "leads_to", "item"].weight = torch.tensor([1.0, 1.0])
    return GraphRetriever.fit(sequences([0, 1, 2, 3]), data, decay=DECAY)


def toy_retriever(config=None):
    x = toy_interactions()
    end = np.full(x.num_users, 3)
    data = build_kg(x, end, config or KGConfig(behaviour_min=1))
    return GraphRetriever.fit(x.first(end), data, decay=DECAY)


def shares(*counts):
    return log_shares(np.array([counts], np.float32))


# Relation factors.


def test_a_relation_between_items_counts_by_weight_in_the_direction_of_its_edges():
    factors = relation_factors(hand_graph())
    (ahead,), (back,) = factors["leads_to"], factors["rev_leads_to"]
    assert ahead.toarray().tolist() == [[0, 0.75, 0.25, 0], [0] * 4, [0] * 4, [0] * 4]
    np.testing.assert_array_equal(back.toarray(), ahead.toarray().T)
    assert ahead.dtype == np.float32


def test_a_relation_to_values_counts_each_shared_value_by_its_rarity():
    first, second = relation_factors(hand_graph())["has_value"]
    assert first.shape == (4, 2)
    assert second.shape == (2, 4)
    rare, common = 1 / np.log(np.e + 2), 1 / np.log(np.e + 3)
    expected = np.zeros((4, 4))
    for item, value in VALUES:
        for other, shared in VALUES:
            if value == shared:
                expected[item, other] += (rare, common)[value]
    np.testing.assert_allclose((first @ second).toarray(), expected, rtol=1e-6)


def test_no_relation_of_users_or_from_values_is_a_factor():
    assert set(relation_factors(hand_graph())) == {"leads_to", "rev_leads_to", "has_value"}


def test_edges_without_weight_count_one_and_double_edges_add_up():
    data = hand_graph()
    data["item", "near", "item"].edge_index = edges((3, 1), (3, 1), (2, 3))
    (near,) = relation_factors(data)["near"]
    assert near.toarray().tolist() == [[0] * 4, [0] * 4, [0, 0, 0, 1], [0, 2, 0, 0]]


def test_weights_of_edges_to_values_do_not_count():
    data, weighted = hand_graph(), hand_graph()
    weighted["item", "has_value", "value"].weight = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    for one, two in zip(*(relation_factors(d)["has_value"] for d in (data, weighted)), strict=True):
        assert (one != two).nnz == 0


def test_one_relation_to_two_node_types_has_a_label_for_each():
    data = hand_graph()
    data["place"].num_nodes = 1
    data["item", "has_value", "place"].edge_index = edges((1, 0), (3, 0))
    factors = relation_factors(data)
    assert {name for name in factors if name.startswith("has_value")} == {
        "has_value",
        "has_value place",
    }
    assert factors["has_value"][0].toarray().tolist() == [[1, 1], [0, 1], [1, 1], [0, 0]]
    assert factors["has_value place"][0].toarray().ravel().tolist() == [0, 1, 0, 1]


def test_one_relation_to_items_and_values_keeps_both():
    data = hand_graph()
    data["item", "leads_to", "value"].edge_index = edges((3, 1))
    factors = relation_factors(data)
    assert len(factors["leads_to"]) == 1
    assert len(factors["leads_to value"]) == 2
    retriever = GraphRetriever.fit(sequences([0, 1, 2, 3]), data, decay=DECAY)
    assert "leads_to value" not in retriever.leaders
    assert "leads_to value" + LASTING in retriever.components


def test_an_empty_relation_says_the_same_of_every_item():
    data = hand_graph()
    data["item", "unused", "item"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    retriever = GraphRetriever.fit(sequences([0, 1, 2, 3]), data, decay=DECAY)
    (feature,) = retriever.features([np.array([0, 1])], {"unused"}).values()
    np.testing.assert_allclose(feature, np.log(1 / 4), rtol=1e-6)


# Recent and lasting components.


def test_components_are_counts_then_relations_then_lasting_ones():
    retriever = hand_retriever()
    assert retriever.leaders == [COUNTS, POPULAR, "leads_to", "rev_leads_to"]
    assert retriever.components == [
        *retriever.leaders,
        *(name + LASTING for name in ("leads_to", "rev_leads_to", "has_value")),
    ]


def test_a_relation_between_items_gives_the_shares_of_its_weights():
    features = hand_retriever().features([np.array([0])])
    np.testing.assert_allclose(features["leads_to"], shares(0, 0.75, 0.25, 0), rtol=1e-6)
    np.testing.assert_allclose(features["rev_leads_to"], np.log(1 / 4), rtol=1e-6)


def test_the_recent_component_decays_and_the_lasting_one_does_not():
    retriever = two_sources()
    features = retriever.features([np.array([0, 3])])
    np.testing.assert_allclose(features["leads_to"], shares(0, DECAY, 1, 0), rtol=1e-6)
    np.testing.assert_allclose(features["leads_to" + LASTING], shares(0, 1, 1, 0), rtol=1e-6)


def test_the_order_of_a_history_changes_recent_components_only():
    retriever = toy_retriever()
    features = retriever.features([np.array([0, 3]), np.array([3, 0])])
    lasting, recent = features["co_rated" + LASTING], features["co_rated"]
    np.testing.assert_allclose(lasting[0], lasting[1], rtol=1e-5)
    assert (recent[0] != recent[1]).any()


def test_an_item_met_twice_counts_twice():
    retriever = two_sources()
    features = retriever.features([np.array([0, 3, 0])])
    recent, lasting = features["leads_to"], features["leads_to" + LASTING]
    np.testing.assert_allclose(recent, shares(0, 1 + DECAY**2, DECAY, 0), rtol=1e-6)
    np.testing.assert_allclose(lasting, shares(0, 2, 1, 0), rtol=1e-6)


def test_every_feature_is_a_log_probability():
    retriever = toy_retriever()
    features = retriever.features([np.array([0, 3]), EMPTY])
    assert list(features) == retriever.components
    for name, value in features.items():
        assert value.dtype == np.float32, name
        assert np.isfinite(value).all(), name
        np.testing.assert_allclose(np.exp(value).sum(1), 1, rtol=1e-4, err_msg=name)


def test_only_the_features_asked_for_are_computed():
    only = {"has_value" + LASTING, COUNTS}
    assert set(hand_retriever().features([np.array([0])], only)) == only


def test_the_counts_are_those_of_the_training_interactions():
    retriever = hand_retriever()
    past = [np.array([0, 1])]
    features = retriever.features(past, {COUNTS, POPULAR})
    assert retriever.popularity.count.tolist() == [1, 3, 2, 1]
    np.testing.assert_array_equal(features[COUNTS], retriever.itemitem.evidence(past))
    assert retriever.itemitem.decay == DECAY


# Weights.


def test_unweighted_it_scores_as_the_item_item_counts():
    retriever = hand_retriever()
    past = [np.array([0, 1]), np.array([2])]
    np.testing.assert_array_equal(retriever.score(past), retriever.itemitem.evidence(past))


def test_reweighting_adds_up_the_features_and_leaves_the_original_alone():
    retriever = toy_retriever()
    past = [np.array([0, 3])]
    weights = {n: 0.1 * i for i, n in enumerate(retriever.components)}
    before = retriever.score(past)
    expected = sum(weights[n] * f for n, f in retriever.features(past).items())
    np.testing.assert_allclose(retriever.reweighted(weights).score(past), expected, rtol=1e-4)
    np.testing.assert_array_equal(retriever.score(past), before)


def test_components_of_weight_zero_and_components_without_weight_do_not_count():
    past = [np.array([0, 1])]
    alone = hand_retriever(leads_to=1.0).score(past)
    with_zeros = hand_retriever(leads_to=1.0, rev_leads_to=0.0).score(past)
    np.testing.assert_array_equal(with_zeros, alone)
    np.testing.assert_array_equal(alone, hand_retriever().features(past)["leads_to"])


def test_a_value_component_alone_ranks_the_items_that_share_the_value():
    retriever = toy_retriever().reweighted({"directed_by" + LASTING: 1.0})
    scores = retriever.score([np.array([0])])[0]
    # Ridley Scott made 0, 2 and 5.
    assert set(np.flatnonzero(scores > scores.min())) == {0, 2, 5}


def test_evidence_is_the_normalised_score():
    retriever = hand_retriever(leads_to=2.0, popularity=0.5)
    past = [np.array([0]), np.array([1, 0])]
    evidence = retriever.evidence(past)
    np.testing.assert_allclose(np.exp(evidence).sum(1), 1, rtol=1e-5)
    difference = evidence - retriever.score(past)
    np.testing.assert_allclose(difference, difference[:, :1].repeat(4, 1), atol=1e-5)


# Empty histories, files, times.


def test_an_empty_history_gets_popularity_whatever_the_weights():
    retriever = hand_retriever(leads_to=1.0)
    scores = retriever.score([EMPTY, np.array([0]), EMPTY])
    popular = retriever.popularity.evidence([EMPTY])[0]
    np.testing.assert_array_equal(scores[[0, 2]], [popular, popular])
    assert (scores[1] != popular).any()


def test_an_item_that_no_relation_reaches_has_the_uniform_share():
    feature = hand_retriever().features([np.array([0])])["leads_to"][0]
    assert feature[3] == pytest.approx(np.log(UNIFORM / 4))
    nothing = hand_retriever().features([np.array([3])])["leads_to"][0]
    np.testing.assert_allclose(nothing, np.log(1 / 4), rtol=1e-6)


def test_a_saved_retriever_has_the_same_weights_labels_and_scores(tmp_path):
    retriever = toy_retriever()
    retriever = retriever.reweighted({n: (i + 1) / 100 for i, n in enumerate(retriever.components)})
    retriever.save(tmp_path)
    loaded = GraphRetriever.load(tmp_path)
    assert (loaded.components, loaded.leaders) == (retriever.components, retriever.leaders)
    assert (loaded.weights, loaded.decay) == (retriever.weights, DECAY)
    past = [np.array([0, 3]), EMPTY, np.array([9, 8, 7, 6])]
    np.testing.assert_array_equal(loaded.score(past), retriever.score(past))
    for name, factors in retriever.relations.items():
        for one, two in zip(factors, loaded.relations[name], strict=True):
            assert (one != two).nnz == 0


@pytest.mark.parametrize("file", ["graph.json", "graph.safetensors", "itemitem.json"])
def test_a_missing_file_is_named(tmp_path, file):
    hand_retriever().save(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(LkgragError, match=file):
        GraphRetriever.load(tmp_path)


def test_times_of_edges_change_no_factor():
    """A temporal graph counts as the whole training part does; only paths look at the times."""
    x = toy_interactions()
    end = np.full(x.num_users, 3)
    plain, temporal = (
        relation_factors(build_kg(x, end, KGConfig(behaviour_min=1, temporal=t)))
        for t in (False, True)
    )
    assert list(plain) == list(temporal)
    for name, factors in plain.items():
        for one, two in zip(factors, temporal[name], strict=True):
            assert (one != two).nnz == 0, name


def test_of_an_earlier_graph_fewer_edges_count_with_the_same_weights():
    x = toy_interactions()
    data = build_kg(x, np.full(x.num_users, 3), KGConfig(behaviour_min=1, temporal=True))
    time = float(data["item", "followed_by", "item"].time.median())
    whole, earlier = (relation_factors(d) for d in (data, as_of(data, time)))
    ((now,), (before,)) = whole["followed_by"], earlier["followed_by"]
    assert 0 < before.nnz < now.nnz
    kept = before.nonzero()
    np.testing.assert_array_equal(before[kept], now[kept])
    # Values have no time.
    assert (whole["directed_by"][0] != earlier["directed_by"][0]).nnz == 0


def test_held_back_interactions_change_nothing():
    x = toy_interactions()
    end = np.full(x.num_users, 3)
    other = x.item.copy()
    other[x.position >= 3] = (other[x.position >= 3] + 1) % x.num_items
    changed = type(x)(**{**vars(x), "item": other})
    assert (other != x.item).any()
    past = [np.array([0, 3]), np.array([7])]
    scores = []
    for sequences_ in (x, changed):
        data = build_kg(sequences_, end, KGConfig(behaviour_min=1))
        retriever = GraphRetriever.fit(sequences_.first(end), data, decay=DECAY)
        even = retriever.reweighted(dict.fromkeys(retriever.components, 0.1))
        scores.append(even.score(past))
    np.testing.assert_array_equal(*scores)
