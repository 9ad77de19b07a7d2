import tracemalloc

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.metrics import (
    LinkPredAveragePopularity,
    LinkPredCoverage,
    LinkPredDiversity,
    LinkPredPersonalization,
)

from lkgrag.evaluation import (
    beyond_accuracy,
    beyond_of,
    categories,
    category_relation,
    lists_of,
    top_lists,
)


def graph(items, **relations):
    """Items and relations from them: by name the node type of the other end, and pairs."""
    data = HeteroData()
    data["item"].num_nodes = items
    for name, (node, pairs) in relations.items():
        data["item", name, node].edge_index = (
            torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
        )
    return data


def test_top_lists_put_padding_last():
    scores = np.array([[0.5, np.nan, 0.9, 5.0], [1.0, 1.0, 1.0, 1.0]])
    items = np.array([[7, 8, 9, -1], [1, 2, 3, 4]])
    assert top_lists(scores, items, 3).tolist() == [[9, 7, 8], [1, 2, 3]]
    assert top_lists(scores, items, 9).tolist() == [[9, 7, 8, -1], [1, 2, 3, 4]]


def test_every_system_orders_the_same_candidates():
    items = np.array([[7, 8, 9], [1, 2, -1]])
    scores = {
        "retriever": np.array([[3.0, 2.0, 1.0], [2.0, 1.0, -np.inf]]),
        "ranker": np.array([[1.0, 3.0, 2.0], [1.0, 2.0, 99.0]]),
    }
    found = lists_of(scores, items, k=2)
    assert {s: v.tolist() for s, v in found.items()} == {
        "retriever": [[7, 8], [1, 2]],
        "ranker": [[8, 9], [2, 1]],
    }
    # Ten, or as many as there are.
    assert lists_of(scores, items)["ranker"].tolist() == [[8, 9, 7], [2, 1, -1]]
    with pytest.raises(ValueError, match=r"scores of lm must have shape \[2, 3\], got \[2, 2\]"):
        lists_of({"lm": np.zeros((2, 2))}, items)


def test_figures_by_hand():
    lists = np.array([[0, 1], [0, 2], [3, -1]])
    found = beyond_accuracy(lists, np.array([10, 4, 2, 1, 0]), np.array([0, 0, 1, 1, 2]))
    assert found["coverage@2"] == pytest.approx(3 / 5)
    assert found["popularity@2"] == pytest.approx((7 + 6) / 2)
    assert found["diversity@2"] == pytest.approx(0.5)
    assert found["personalization@2"] == pytest.approx(0.5)


def test_personalization_is_the_mean_over_pairs_of_lists():
    # Of the pairs, two share one of three items, and one shares two.
    lists = np.array([[0, 1, 2], [2, 3, 4], [0, 2, 5]])
    found = beyond_accuracy(lists, np.ones(6, np.int64), None)
    assert found["personalization@3"] == pytest.approx(1 - (1 + 2 + 1) / 9)
    assert "diversity@3" not in found


def test_same_as_torch_geometric():
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(60)[:5] for _ in range(40)])
    popularity, category = rng.integers(0, 50, 60), rng.integers(0, 4, 60)
    theirs = {
        "coverage@5": LinkPredCoverage(5, num_dst_nodes=60),
        "popularity@5": LinkPredAveragePopularity(5, torch.from_numpy(popularity)),
        "personalization@5": LinkPredPersonalization(5),
        "diversity@5": LinkPredDiversity(5, torch.from_numpy(category)),
    }
    found = beyond_accuracy(lists, popularity, category)
    assert list(found) == list(theirs)
    for name, metric in theirs.items():
        metric.update(torch.from_numpy(lists), torch.zeros(2, 0, dtype=torch.int64))
        assert found[name] == pytest.approx(float(metric.compute()), rel=1e-5)


def test_many_lists_take_little_memory():
    rng = np.random.default_rng(0)
    lists = rng.integers(0, 500, (20_000, 1)) + np.arange(10)
    popularity = np.ones(510, np.int64)
    tracemalloc.start()
    found = beyond_accuracy(lists, popularity, popularity)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The pairs of lists are 200 million.
    assert peak < 30e6
    assert found["diversity@10"] == 0
    # Lists whose starts differ by d < 10 share 10 - d items; each start is drawn once in 500.
    assert found["personalization@10"] == pytest.approx(1 - 10 / 500, abs=1e-3)


def test_without_lists_there_are_no_figures():
    nothing = beyond_accuracy(
        np.zeros((0, 2), np.int64), np.ones(3, np.int64), np.zeros(3, np.int64)
    )
    assert nothing.pop("coverage@2") == 0
    assert np.isnan(list(nothing.values())).all()
    alone = beyond_accuracy(np.array([[0, 1]]), np.ones(3, np.int64), None)
    assert np.isnan(alone["personalization@2"])
    assert alone["popularity@2"] == 1


def test_systems_are_compared_on_lists_that_all_have():
    data = graph(5, has_genre=("genre", [[0, 0], [1, 0], [2, 1], [3, 1], [4, 1]]))
    popularity = np.array([10, 4, 2, 1, 0])
    lists = {
        "retriever": np.array([[0, 1], [0, 2], [3, 4]]),
        "ranker": np.array([[0, 2], [0, 2], [3, -1]]),
    }
    found = beyond_of(lists, popularity, data)
    assert {k: found[k] for k in ("split", "k", "lists", "category")} == {
        "split": "test",
        "k": 2,
        "lists": 2,
        "category": "has_genre",
    }
    assert found["systems"]["retriever"] == pytest.approx(
        {"coverage@2": 0.6, "popularity@2": 6.5, "personalization@2": 0.5, "diversity@2": 0.5}
    )
    assert found["systems"]["ranker"] == pytest.approx(
        {"coverage@2": 0.4, "popularity@2": 6.0, "personalization@2": 0.0, "diversity@2": 1.0}
    )
    without = beyond_of(lists, popularity, graph(5))
    assert without["category"] is None
    assert "diversity@2" not in without["systems"]["ranker"]
    assert beyond_of({}, popularity, data) == {}
    assert beyond_of({"ranker": np.zeros((0, 0), np.int64)}, popularity, data) == {}
    with pytest.raises(ValueError, match=r"one shape, got \[\[3, 1\], \[3, 2\]\]"):
        beyond_of({**lists, "lm": np.zeros((3, 1), np.int64)}, popularity, data)


def test_categories_are_sets_of_values():
    data = graph(5, has_genre=("genre", [[0, 0], [0, 1], [1, 1], [1, 0], [2, 1]]))
    found = categories(data, "has_genre")
    assert found[0] == found[1]
    assert len(set(found[1:].tolist())) == 4
    with pytest.raises(ValueError, match="no relation 'x'"):
        categories(data, "x")


EVERY = range(10)


@pytest.mark.parametrize(
    ("relations", "expected"),
    [
        ({}, None),
        # Few values say what kind of thing an item is.
        (
            {
                "released_in": ("year", [[i, i % 5] for i in EVERY]),
                "has_genre": ("genre", [[i, i % 3] for i in EVERY]),
            },
            "has_genre",
        ),
        # Nine of ten items are nearly as many as ten, eight are not.
        (
            {
                "released_in": ("year", [[i, i % 5] for i in EVERY]),
                "has_genre": ("genre", [[i, i % 3] for i in range(9)]),
                "rated_for": ("age", [[i, i % 2] for i in range(8)]),
            },
            "has_genre",
        ),
        # One value tells nothing apart; items and users are no values.
        (
            {
                "in_language": ("language", [[i, 0] for i in EVERY]),
                "followed_by": ("item", [[i, i % 2] for i in EVERY]),
                "rev_rated": ("user", [[i, i % 2] for i in EVERY]),
                "made_by": ("maker", [[i, i % 4] for i in range(5)]),
            },
            "made_by",
        ),
        # Half of the items at least.
        ({"made_by": ("maker", [[i, i % 4] for i in range(4)])}, None),
        (
            {
                "b": ("b", [[i, i % 2] for i in EVERY]),
                "a": ("a", [[i, i % 2] for i in EVERY]),
            },
            "a",
        ),
    ],
)
def test_the_relation_of_categories_covers_items_with_few_values(relations, expected):
    assert category_relation(graph(10, **relations)) == expected
