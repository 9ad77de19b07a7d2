import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from lkgrag.evaluation import beyond_accuracy, categories, top_lists


def test_top_lists_put_padding_last():
    scores = np.array([[0.5, np.nan, 0.9, 5.0], [1.0, 1.0, 1.0, 1.0]])
    items = np.array([[7, 8, 9, -1], [1, 2, 3, 4]])
    assert top_lists(scores, items, 3).tolist() == [[9, 7, 8], [1, 2, 3]]
    assert top_lists(scores, items, 9).tolist() == [[9, 7, 8, -1], [1, 2, 3, 4]]


def test_figures_by_hand():
    lists = np.array([[0, 1], [0, 2], [3, -1]])
    found = beyond_accuracy(lists, np.array([10, 4, 2, 1, 0]), np.array([0, 0, 1, 1, 2]))
    assert found["coverage@2"] == pytest.approx(3 / 5)
    assert found["popularity@2"] == pytest.approx((7 + 6) / 2)
    assert found["diversity@2"] == pytest.approx(0.5)
    assert found["personalization@2"] == pytest.approx(0.5)


def test_categories_are_sets_of_values():
    data = HeteroData()
    data["item"].num_nodes, data["genre"].num_nodes = 5, 2
    data["item", "has_genre", "genre"].edge_index = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 0, 1]])
    found = categories(data, "has_genre")
    assert found[0] == found[1]
    assert len(set(found[1:].tolist())) == 4
    with pytest.raises(ValueError, match="no relation 'x'"):
        categories(data, "x")
