import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lkgrag.config import EvaluationConfig
from lkgrag.data.splits.base import Events
from lkgrag.evaluation import (
    METRICS,
    Metric,
    SplitResult,
    difference_line,
    nest,
    sample_events,
    show,
)
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.prompt.order import CandidateOrder
from lkgrag.retrieval.candidates import CandidateLists


@pytest.fixture
def result():
    return SplitResult(
        split="test",
        user=np.array([0, 1, 2, 2]),
        position=np.array([5, 6, 7, 8]),
        target=np.array([3, 1, 4, 1]),
        num_candidates=np.array([2, 2, 2, 2]),
        retrieved=np.array([True, True, False, False]),
        depth=2,
        ranks={
            "ranker": np.array([1, 1, 0, 0]),
            "retriever": np.array([2, 1, 3, np.iinfo(np.int64).max]),
        },
    )


def test_figures_by_hand(result):
    figures = result.figures([2])
    assert figures["ranker"]["all"]["recall@1"] == 0.5
    assert figures["ranker"]["retrieved"]["recall@1"] == 1.0
    # Rank 3 is deeper than the list: missed, in MRR too.
    assert figures["retriever"]["all"]["mrr"] == pytest.approx((1 / 2 + 1) / 4)
    assert figures["retriever"]["all"]["ndcg@2"] == pytest.approx((1 / np.log2(3) + 1) / 4)
    assert figures["random"]["retrieved"]["recall@1"] == pytest.approx(0.5)
    assert figures["random"]["all"]["mrr"] == pytest.approx(0.75 / 2)


def test_nesting_and_order(result):
    metrics = nest([result], [1, 2])
    assert list(metrics) == ["random", "retriever", "ranker"]
    assert set(metrics["ranker"]["test"]) == {"all", "retrieved"}
    assert set(metrics["ranker"]["test"]["all"]) == {
        *("mrr", "ndcg@1", "ndcg@2", "ndcg@10", "recall@1", "recall@2", "recall@10")
    }


def test_comparison_is_over_the_population(result):
    found = result.compare("ranker", "retriever", "recall@1", "all", resamples=200)
    assert (found.events, found.users) == (4, 3)
    assert found.mean == pytest.approx(0.25)
    assert result.compare("ranker", "random", "recall@1", "retrieved", 50).mean == 0.5


def test_a_reordering_system_cannot_rank_what_was_not_retrieved(result):
    with pytest.raises(ValueError, match="lm ranks a target"):
        result.with_ranks({"lm": np.array([1, 1, 1, 0])})
    with pytest.raises(ValueError, match="shape"):
        result.with_ranks({"other": np.array([1])})
    assert "other" in result.with_ranks({"other": np.ones(4, np.int64)}).systems


def test_events_survive_parquet(result, tmp_path):
    frame = result.frame(user_ids=["a", "b", "c"])
    frame.to_parquet(tmp_path / "events.parquet")
    back = pd.read_parquet(tmp_path / "events.parquet")
    assert back["user"].tolist() == ["a", "b", "c", "c"]
    assert back["rank_retriever"].tolist() == [2, 1, 3, 0]
    assert back["rank_ranker"].tolist() == [1, 1, 0, 0]


def test_a_population_without_events_has_no_figure(result):
    alone = SplitResult(
        split="val",
        user=np.array([0]),
        position=np.array([5]),
        target=np.array([3]),
        num_candidates=np.array([2]),
        retrieved=np.array([False]),
        depth=2,
        ranks={"ranker": np.array([0])},
    )
    figures = alone.figures([1])["ranker"]
    assert figures["all"]["mrr"] == 0
    assert np.isnan(figures["retrieved"]["mrr"])


def test_sampled_events_keep_the_share_of_missed_targets():
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(2000), 2)
    retrieved = rng.random(4000) < 0.15
    index = sample_events(user, retrieved, 150, seed=1)
    assert 140 <= retrieved[index].sum() <= 150
    assert retrieved[index].mean() == pytest.approx(0.15, abs=0.03)
    assert (np.diff(index) > 0).all()
    # Whole users only.
    assert set(np.bincount(user[index])) <= {0, 2}
    assert len(sample_events(user, retrieved, -1, seed=1)) == 4000


def test_validation_may_be_smaller_than_the_test():
    zeros = np.zeros(30, np.int64)
    lists = CandidateLists(
        Events(np.arange(30), zeros, zeros), zeros[:, None], np.zeros((30, 1), "f4")
    )

    def judged(*limits):
        config = EvaluationConfig(max_events=limits[0], max_val_events=limits[1])
        evaluator = Evaluator(None, None, config, CandidateOrder("random", 0), 20)
        return tuple(evaluator.draw_read(split, lists).sum() for split in ("val", "test"))

    assert judged(-1, -1) == (30, 30)
    assert judged(-1, 7) == (7, 30)
    assert judged(9, -1) == (9, 9)
    assert judged(9, 20) == (20, 9)


def test_table_fits_80_columns_and_pipes_plain(result):
    systems = ["popularity", "itemitem", "graph_itemitem", "lrurec", "lm", "scorer"]
    ranks = {s: np.array([1, 2, 0, 0]) for s in systems}
    metrics = nest([result.with_ranks(ranks)], [5, 10])
    line = difference_line(
        "ranker", "retriever", "ndcg@10", "all", result.compare("ranker", "retriever")
    )
    stream = io.StringIO()
    show(Console(file=stream, width=60), metrics, "test", [line])
    text = stream.getvalue()
    assert "\x1b" not in text
    assert all(len(row) <= 80 for row in text.splitlines() if " - " not in row)
    for system in [*systems, "random", "retriever", "ranker"]:
        assert any(row.strip().startswith(system) for row in text.splitlines())
    assert "…" not in text
    assert line in text
    ranker = next(r for r in text.splitlines() if r.strip().startswith("ranker "))
    assert ranker.split() == ["ranker", ".5000", ".5000", ".5000", "1.0000", "1.0000", "1.0000"]


def test_a_custom_metric_is_in_figures_comparisons_and_tables(result, monkeypatch):
    monkeypatch.setitem(METRICS, "first", Metric("first", "First", lambda rank: (rank == 1) * 1.0))
    metrics = nest([result], [2])
    assert list(metrics["ranker"]["test"]["all"])[-1] == "first"
    assert metrics["ranker"]["test"]["all"]["first"] == 0.5
    assert metrics["random"]["test"]["retrieved"]["first"] == 0.5
    found = result.compare("ranker", "retriever", "first", resamples=100)
    assert found.mean == 0.25
    assert "(First, all, 3 users)" in difference_line("ranker", "x", "first", "all", found)
    heads = table_of(metrics, columns=["first", "recall@2"]).splitlines()[3]
    assert heads.split() == ["system", "First", "Recall@2", "First", "Recall@2"]
    assert "First" not in table_of(metrics)
    assert table_of(metrics, columns={"at the top": "first"}).count("at the top") == 2


def table_of(metrics, **options):
    stream = io.StringIO()
    show(Console(file=stream), metrics, "test", [], **options)
    return stream.getvalue()
