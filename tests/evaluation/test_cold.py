import numpy as np
import pytest

from lkgrag.evaluation import SplitResult, cold_start


def test_groups_by_hand():
    ranks = np.array([1, 2, 0, 11, 3, 1])
    result = SplitResult(
        split="test",
        user=np.arange(6),
        position=np.array([2, 5, 6, 10, 11, 500]),
        target=np.array([0, 1, 2, 0, 1, 2]),
        num_candidates=np.full(6, 20),
        retrieved=ranks > 0,
        depth=20,
        ranks={"ranker": ranks},
    )
    found = cold_start(result, np.array([0, 5, 6]))
    assert found["split"] == "test"
    rows = [(g["group"], g["events"]) for g in found["history"]]
    assert rows == [("1-5", 2), ("6-10", 2), ("11-20", 1), ("over 100", 1)]
    means = [g["systems"]["ranker"]["ndcg@10"] for g in found["history"]]
    assert means == pytest.approx([(1 + 1 / np.log2(3)) / 2, 0, 0.5, 1])
    assert [g["systems"]["ranker"]["recall@10"] for g in found["history"]] == [1, 0, 1, 1]
    assert [(g["group"], g["events"]) for g in found["popularity"]] == [
        ("0", 2),
        ("1-5", 2),
        ("6-20", 2),
    ]
    means = [g["systems"]["ranker"]["ndcg@10"] for g in found["popularity"]]
    assert means == pytest.approx([0.5, (1 / np.log2(3) + 0.5) / 2, 0.5])
    assert found["history"][0]["systems"]["random"]["recall@10"] == pytest.approx(0.5)


def test_groups_add_up_to_everyone():
    rng = np.random.default_rng(0)
    n, ranks = 200, rng.integers(0, 21, 200)
    result = SplitResult(
        "test", np.arange(n), rng.integers(1, 150, n), rng.integers(0, 30, n), np.full(n, 20),
        ranks > 0, 20, {"ranker": ranks},
    )  # fmt: skip
    found = cold_start(result, rng.integers(0, 150, 30))
    whole = result.gains("ranker", "ndcg@10").mean()
    for kind in ("history", "popularity"):
        groups = found[kind]
        assert sum(g["events"] for g in groups) == n
        mean = sum(g["events"] * g["systems"]["ranker"]["ndcg@10"] for g in groups) / n
        assert mean == pytest.approx(whole)


def test_no_event():
    empty = np.zeros(0, np.int64)
    result = SplitResult("test", empty, empty, empty, empty, empty > 0, 20, {"ranker": empty})
    assert cold_start(result, np.zeros(3, np.int64))["history"] == []
