"""Exposure, popularity bias, novelty and distance of lists: by hand, by slow oracles, and their intervals."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch_geometric.data import HeteroData

from lkgrag.evaluation import SplitResult, beyond_of
from lkgrag.evaluation.beyond import Readers
from lkgrag.evaluation.exposure import exposure, measure_exposure
from lkgrag.evaluation.popularity import (
    deviation,
    opportunity_bias,
    popularity_classes,
    self_information,
)
from lkgrag.evaluation.resampling import MOST, Users
from lkgrag.kg.item_vectors import ItemVectors


def graph(items, **relations):
    data = HeteroData()
    data["item"].num_nodes = items
    for name, (node, pairs) in relations.items():
        if node != "item":
            data[node].num_nodes = 1 + max(v for _, v in pairs)
        data["item", name, node].edge_index = torch.tensor(pairs).T
    return data


def slow_exposure(lists, items):
    """The same by the plain definitions, item by item."""
    counts = np.bincount(lists.ravel(), minlength=items)
    ranked = sorted(counts.tolist())
    gini = sum((2 * i - items - 1) * c for i, c in enumerate(ranked, 1)) / (items * sum(ranked))
    shares = [c / sum(ranked) for c in ranked if c]
    pairs = [
        1 - len(set(a.tolist()) & set(b.tolist())) / lists.shape[1]
        for n, a in enumerate(lists)
        for m, b in enumerate(lists)
        if n != m
    ]
    return {
        "coverage": sum(c > 0 for c in ranked) / items,
        "gini": gini,
        "entropy": -sum(p * np.log2(p) for p in shares),
        "personalization": np.mean(pairs),
    }


def drawn_lists(seed, number=30, items=25, k=4):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(items)[:k] for _ in range(number)])


@pytest.mark.parametrize("seed", range(5))
def test_exposure_is_that_of_the_definitions(seed):
    lists = drawn_lists(seed)
    users = Users.of(np.arange(30), 50, 0)
    found, ends = measure_exposure(lists, 25, users, users.draw())
    assert found == pytest.approx(slow_exposure(lists, 25))
    assert all(low <= found[name] <= high for name, (low, high) in ends.items())


def test_resamples_are_measured_as_if_their_lists_were_there():
    lists, user = drawn_lists(1), np.arange(30) // 2
    users = Users.of(user, 20, 3)
    times = users.draw()
    rows = [np.repeat(lists, row[user].astype(int), axis=0) for row in times]
    slow = [slow_exposure(row, 25) for row in rows]
    found, ends = measure_exposure(lists, 25, users, times)
    for name in ends:
        values = np.array([row[name] for row in slow])
        centred = values - values.mean() + found[name]
        assert ends[name] == pytest.approx(np.quantile(centred, [0.025, 0.975]).tolist()), name


def test_even_and_uneven_exposure():
    # Of four items each is in one list; then one is in all.
    even = exposure(np.array([[0, 4]]), 1, np.array([4.0]))
    assert {n: float(v[0]) for n, v in even.items()} == pytest.approx(
        {"coverage": 1, "gini": 0, "entropy": 2, "personalization": 1}
    )
    one = exposure(np.array([[3, 0, 0, 0, 1]]), 1, np.array([4.0]))
    assert {n: float(v[0]) for n, v in one.items()} == pytest.approx(
        {"coverage": 0.25, "gini": 0.75, "entropy": 0, "personalization": 0}
    )


def test_head_and_tail_by_hand():
    # Of 100 interactions the head has at least 20, and the tail at most 20.
    assert popularity_classes(np.array([5, 50, 30, 10, 5])).tolist() == [2, 0, 1, 2, 2]
    assert popularity_classes(np.array([25, 25, 25, 25])).tolist() == [0, 1, 1, 1]
    # An item that nobody chose is in the tail.
    assert popularity_classes(np.array([10, 0])).tolist() == [0, 2]


def test_novelty_is_self_information():
    found = self_information(np.array([8, 4, 2, 1, 1, 0]))
    assert found.tolist() == pytest.approx([1, 2, 3, 4, 4, 4])


def test_divergence_of_shares():
    same, other = np.array([[0.5, 0.25, 0.25]]), np.array([[0.0, 0.0, 1.0]])
    assert deviation(same, same).tolist() == [0]
    assert deviation(np.array([[1.0, 0, 0]]), other).tolist() == pytest.approx([1])
    p, q = same[0], np.array([0.2, 0.2, 0.6])
    m = (p + q) / 2
    hand = (np.sum(p * np.log2(p / m)) + np.sum(q * np.log2(q / m))) / 2
    assert deviation(same, q[None]).tolist() == pytest.approx([hand])


def test_lists_against_histories_by_hand():
    data = graph(4, has_genre=("genre", [(0, 0), (1, 0), (2, 1), (3, 1)]))
    popularity = np.array([8, 4, 2, 2])
    readers = Readers(
        np.array([0, 1]), [np.array([2, 3]), np.array([0], np.int64)], resamples=200, seed=0
    )
    found = beyond_of({"ranker": np.array([[0, 1], [1, 2]])}, popularity, data, "test", readers)
    figures, ends = found["systems"]["ranker"], found["intervals"]["ranker"]
    # Lists have 6 and 3 on average, histories 2 and 8.
    assert figures["lift@2"] == pytest.approx((6 + 3) / (2 + 8) - 1)
    assert figures["novelty@2"] == pytest.approx(((1 + 2) / 2 + (2 + 3) / 2) / 2)
    # Items of one genre are alike, of two genres they share nothing.
    assert figures["ild@2"] == pytest.approx((0 + 1) / 2)
    assert figures["diversity@2"] == pytest.approx(0.5)
    assert found["distance"] == "attributes"
    assert ends["popularity@2"][0] <= figures["popularity@2"] <= ends["popularity@2"][1]
    assert set(figures) == set(ends)


def test_intervals_are_those_of_means_over_drawn_users():
    rng = np.random.default_rng(0)
    lists, popularity = drawn_lists(2, 40), rng.integers(1, 50, 25)
    user = np.arange(40) // 2
    readers = Readers(user, [np.array([n % 25]) for n in range(40)], 500, 7)
    data = graph(25)
    found = beyond_of({"ranker": lists}, popularity, data, "test", readers)
    users = Users.of(user, 500, 7)
    each = popularity[lists].mean(1)
    means = [np.repeat(each, row[user].astype(int)).mean() for row in users.draw()]
    ends = found["intervals"]["ranker"]["popularity@4"]
    assert ends == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist())
    assert found["distance"] is None
    assert "ild@4" not in found["systems"]["ranker"]
    assert Users.of(user, 10_000, 0).resamples == MOST
    # Memory does not grow with the users.
    assert Users.of(np.arange(100_000), 10_000, 0).resamples == 200
    assert Users.of(np.arange(10**6), 10_000, 0).resamples == 100


def test_no_list_and_no_history_give_no_number():
    readers = Readers(np.zeros(0, np.int64), [], 10, 0)
    found = beyond_of(
        {"ranker": np.zeros((0, 2), np.int64)}, np.ones(3, int), graph(3), "test", readers
    )
    assert np.isnan(found["systems"]["ranker"]["lift@2"])
    readers = Readers(np.array([0]), [np.zeros(0, np.int64)], 10, 0)
    found = beyond_of({"ranker": np.array([[0, 1]])}, np.ones(3, int), graph(3), "test", readers)
    assert np.isnan(found["systems"]["ranker"]["lift@2"])
    assert np.isnan(found["systems"]["ranker"]["miscalibration@2"])
    assert found["systems"]["ranker"]["novelty@2"] == pytest.approx(np.log2(3))


def test_opportunity_bias_is_minus_spearmans_correlation():
    rng = np.random.default_rng(0)
    n, popularity = 60, rng.integers(0, 40, 30)
    target, ranks = rng.integers(0, 30, n), rng.integers(0, 25, n)
    result = SplitResult(
        "test", np.arange(n), np.ones(n, int), target, np.full(n, 20), np.ones(n, bool), 20,
        {"retriever": ranks},
    )  # fmt: skip
    keep = rng.random(n) < 0.8
    value, low, high = opportunity_bias(result, keep, popularity, 500, 0)["retriever"]
    place = np.where((ranks < 1) | (ranks > 20), 21, ranks)
    assert value == pytest.approx(-spearmanr(popularity[target[keep]], place[keep])[0])
    assert low < value < high
    # A rank that never varies has no correlation.
    flat = SplitResult(
        "test", np.arange(n), np.ones(n, int), target, np.full(n, 20), np.ones(n, bool), 20,
        {"retriever": np.ones(n, int)},
    )  # fmt: skip
    assert np.isnan(opportunity_bias(flat, keep, popularity, 10, 0)["retriever"]).all()


def test_vectors_weigh_each_attribute_alike():
    data = graph(
        4,
        has_genre=("genre", [(0, 0), (1, 0), (2, 1)]),
        starring=("actor", [(0, n) for n in range(6)] + [(1, n) for n in range(6, 12)]),
        followed_by=("item", [(0, 1)]),
    )
    vectors = ItemVectors.of(data)
    found = vectors.similarity(np.arange(4))
    # One of two attributes is the same.
    assert found[0, 1] == pytest.approx(0.5)
    assert np.diag(found).tolist() == pytest.approx([1, 1, 1, 0])
    assert found[0, 2] == found[0, 3] == 0
    lists = np.array([[0, 1, 2], [1, 2, 3]])
    slow = [
        np.mean([1 - found[a, b] for n, a in enumerate(row) for b in row[n + 1 :]]) for row in lists
    ]
    assert vectors.distances(lists).tolist() == pytest.approx(slow)


def test_texts_tell_items_apart_where_there_are_no_attributes():
    data = graph(3, followed_by=("item", [(0, 1)]))
    assert ItemVectors.of(data) is None
    data["item"].x = torch.tensor([[1.0, 0], [3, 0], [-1, 0]])
    vectors = ItemVectors.of(data)
    assert vectors.made_of == "text"
    assert vectors.similarity(np.arange(3)).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert vectors.distances(np.array([[0, 2]])).tolist() == [2]
