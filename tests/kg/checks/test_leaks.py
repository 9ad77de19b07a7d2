"""Planted edges and counts that training cannot give are caught."""

import numpy as np
import pytest
import torch

from lkgrag.config import KGConfig
from lkgrag.errors import DataError
from lkgrag.kg import build_kg, check_no_leak, find_leaks
from lkgrag.testing.graph import toy_interactions

END = np.full(8, 3)
NEXT, BACK, CO = (("item", r, "item") for r in ("followed_by", "rev_followed_by", "co_rated"))


@pytest.fixture
def data():
    return build_kg(toy_interactions(), END, KGConfig(behaviour_min=1))


def test_a_clean_graph_passes(data):
    check_no_leak(data, toy_interactions(), END)


@pytest.mark.parametrize("edge_type", [NEXT, BACK, CO], ids=lambda e: e[1])
def test_one_count_too_many(data, edge_type):
    data[edge_type]["count"][2] += 1
    with pytest.raises(DataError, match=edge_type[1]):
        check_no_leak(data, toy_interactions(), END)


@pytest.mark.parametrize("edge_type", [NEXT, CO, ("user", "rated", "item")], ids=lambda e: e[1])
def test_an_edge_from_the_future(data, edge_type):
    # Users' fourth film is validation: u1 went from Aliens (1) to Blade Runner (2).
    future = {"rated": [0, 4], "followed_by": [1, 2], "co_rated": [3, 4]}[edge_type[1]]
    assert future not in data[edge_type].edge_index.T.tolist()
    store = data[edge_type]
    store.edge_index = torch.cat([store.edge_index, torch.tensor(future)[:, None]], 1)
    if "count" in store:
        store["count"] = torch.cat([store["count"], torch.ones(1)])
    assert len(find_leaks(data, toy_interactions(), END)) == 1


def test_a_graph_of_a_later_fold(data):
    later = build_kg(toy_interactions(), np.full(8, 4), KGConfig(behaviour_min=1))
    leaks = find_leaks(later, toy_interactions(), END)
    assert len(leaks) == 5


def test_repeated_pairs_and_wider_windows(data):
    wide = build_kg(toy_interactions(), END, KGConfig(behaviour_min=1, follow_window=2))
    assert find_leaks(wide, toy_interactions(), END) == []
    wide.follow_window = 1
    assert len(find_leaks(wide, toy_interactions(), END)) == 2
