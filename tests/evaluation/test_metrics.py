import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.metrics import LinkPredHitRatio, LinkPredMRR, LinkPredNDCG, LinkPredRecall

from lkgrag.evaluation import expected_gains, gains, metric_names, pessimistic_rank


def test_ranks_by_hand():
    scores = [[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, 0.9, 0.5]]
    assert pessimistic_rank(scores, [1, 0, -1]).tolist() == [1, 3, 0]


def test_equals_count_against_the_target():
    assert pessimistic_rank([[1.0, 1.0, 1.0, 0.0]], [0]).tolist() == [3]


def test_nan_is_the_worst_score():
    nan = math.nan
    assert pessimistic_rank([[nan, 0.0, -math.inf], [nan, 0.0, 1.0]], [0, 1]).tolist() == [3, 2]


def test_padding_is_nobodys_equal():
    scores, mask = [[-math.inf, 0.0, -math.inf]], [[True, True, False]]
    assert pessimistic_rank(scores, [0], mask).tolist() == [2]
    with pytest.raises(ValueError, match="filled slot"):
        pessimistic_rank(scores, [2], mask)
    with pytest.raises(ValueError, match="must lie in"):
        pessimistic_rank(scores, [3])


def test_gains_by_hand():
    ranks = [1, 3, 11, 0]
    assert gains(ranks, "mrr").tolist() == pytest.approx([1, 1 / 3, 1 / 11, 0])
    assert gains(ranks, "ndcg@10").tolist() == pytest.approx([1, 0.5, 0, 0])
    assert gains(ranks, "recall@3").tolist() == [1, 1, 0, 0]
    assert gains(ranks, "recall@1").tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("name", ["ndcg@0", "ndcg", "hits@5", "mrr@5"])
def test_unknown_metrics_are_refused(name):
    with pytest.raises(ValueError, match="no metric"):
        gains([1], name)


def test_names_have_no_doubles():
    assert metric_names([10, 1, 10]) == ["mrr", "ndcg@1", "ndcg@10", "recall@1", "recall@10"]


def test_expectation_of_a_random_order_is_the_mean_over_orders():
    for name in ("mrr", "ndcg@2", "recall@2"):
        expected = expected_gains([3, 0, 1], name)
        by_rank = gains([1, 2, 3], name).mean()
        assert expected.tolist() == pytest.approx([by_rank, 0.0, gains([1], name)[0]])


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=8))
def test_same_as_torch_geometric_with_the_target_last_among_equals(rows):
    scores = np.asarray(rows, np.float64)
    target = np.arange(len(rows)) % 6
    ranks = pessimistic_rank(scores, target)
    is_target = np.arange(6) == target[:, None]
    order = torch.from_numpy(np.lexsort((is_target, -scores), axis=1))
    label = torch.stack([torch.arange(len(rows)), torch.from_numpy(target)])
    for k in (1, 3, 6):
        theirs = {
            f"ndcg@{k}": LinkPredNDCG(k),
            f"recall@{k}": LinkPredRecall(k),
            "mrr": LinkPredMRR(6),
        }
        for name, metric in theirs.items():
            metric.update(order, label)
            assert gains(ranks, name).mean() == pytest.approx(float(metric.compute()), abs=1e-6)
        hits = LinkPredHitRatio(k)
        hits.update(order, label)
        assert gains(ranks, f"recall@{k}").mean() == pytest.approx(float(hits.compute()), abs=1e-6)
