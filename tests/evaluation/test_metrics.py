import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.metrics import LinkPredHitRatio, LinkPredMRR, LinkPredNDCG, LinkPredRecall

from lkgrag.errors import ConfigError
from lkgrag.evaluation import (
    METRICS,
    Metric,
    expected_gains,
    gains,
    metric_label,
    metric_names,
    metrics,
    pessimistic_rank,
    register_metric,
)


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


@pytest.fixture
def table():
    """The table of metrics, as it was before once the test is over."""
    before = dict(METRICS)
    metrics._register_installed.cache_clear()
    yield METRICS
    METRICS.clear()
    METRICS.update(before)
    metrics._register_installed.cache_clear()


def half(rank):
    """Half of what MRR gives."""
    return np.where(rank > 0, 0.5 / np.maximum(rank, 1), 0.0)


def test_a_registered_metric_has_keys_gains_and_a_label(table):
    found = register_metric(Metric("half", "Half", half))
    assert metric_names([5])[-2:] == ["recall@10", "half"]
    assert gains([1, 2, 0], "half").tolist() == [0.5, 0.25, 0.0]
    assert expected_gains([2], "half").tolist() == [0.375]
    assert metric_label("half") == "Half"
    register_metric(found)
    assert list(table) == ["mrr", "ndcg", "recall", "half"]
    with pytest.raises(ValueError, match=r"there are mrr, ndcg@k, recall@k and half$"):
        gains([1], "hits@5")


def test_labels_and_places_of_keys():
    assert [metric_label(k) for k in ("mrr", "ndcg@10", "recall@1")] == [
        "MRR",
        "NDCG@10",
        "Recall@1",
    ]
    # As of a run of someone with more metrics.
    assert metric_label("novelty@5") == "novelty@5"
    keys = ["novelty@5", "recall@10", "recall@5", "ndcg@20", "ndcg@5", "mrr"]
    assert sorted(keys, key=metrics.metric_place) == [
        "mrr", "ndcg@5", "ndcg@20", "recall@5", "recall@10", "novelty@5",
    ]  # fmt: skip


def raising(rank):
    raise ZeroDivisionError("no luck")


@pytest.mark.parametrize(
    ("gain", "has_cutoff", "message"),
    [
        (lambda rank: half(rank)[:1], False, r"its gain has shape \[1\]"),
        (lambda rank: 3 * half(rank), False, r"its gain must lie in \[0, 1\]"),
        (lambda rank: half(rank) * np.nan, False, r"its gain must lie in \[0, 1\]"),
        (lambda rank: half(rank) + 0.5, False, r"must be 0 for a missed target, got 0\.5"),
        (
            lambda rank: (rank > 3) * 1.0,
            False,
            "must not rise with the rank, but does behind rank 3",
        ),
        (lambda rank, k: half(rank), True, "must be 0 behind the cut-off, k=1"),
        (half, True, "its gain raised TypeError"),
        (raising, False, "its gain raised ZeroDivisionError: no luck"),
    ],
)
def test_a_gain_that_breaks_the_contract_is_refused(table, gain, has_cutoff, message):
    with pytest.raises(ConfigError, match=f"metric 'mine': .*{message}"):
        register_metric(Metric("mine", "Mine", gain, has_cutoff))
    assert "mine" not in table


def test_names_must_be_free_and_plain(table):
    with pytest.raises(ConfigError, match="metric 'mrr': another metric has this name"):
        register_metric(Metric("mrr", "MRR", half))
    with pytest.raises(ConfigError, match="metric 'My@5': a name has at most 32 small letters"):
        register_metric(Metric("My@5", "Mine", half))


def install(monkeypatch, *values):
    """Pretend that packages with these entry points are installed."""
    points = [EntryPoint(f"p{n}", value, metrics.GROUP) for n, value in enumerate(values)]
    monkeypatch.setattr(metrics, "entry_points", lambda group: points)


def test_metrics_of_installed_packages_are_in_the_table(table, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "toy_metrics.py").write_text(
        "from lkgrag.evaluation import Metric\n"
        "HIT = Metric('hit', 'Hit', lambda rank: (rank > 0) * 1.0)\n"
        "OTHER = 7\n"
    )
    install(monkeypatch, "toy_metrics:HIT")
    assert metric_names([5])[-1] == "hit"
    assert gains([4, 0], "hit").tolist() == [1.0, 0.0]
    for value, message in {
        "toy_metrics:OTHER": r"metric toy_metrics:OTHER: it is no object of lkgrag\.evaluation\.Metric",
        "toy_metrics:NONE": r"metric toy_metrics:NONE: cannot import it \(AttributeError",
        "no_such_module:HIT": r"cannot import it \(ModuleNotFoundError: No module named",
    }.items():
        metrics._register_installed.cache_clear()
        install(monkeypatch, value)
        with pytest.raises(ConfigError, match=message):
            metric_names([5])
