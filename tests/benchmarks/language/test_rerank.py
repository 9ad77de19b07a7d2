"""The language model as a reranker of new items, with a tiny model."""

import numpy as np
import pytest
from helpers.planted_cold import planted_cold
from helpers.small_run import small_options

from benchmarks.language import rerank
from benchmarks.language.cold import Cold
from benchmarks.language.path_scores import train
from lkgrag.paths import graph_paths


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    return planted_cold(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("reader")
    return small_options(root)["llm.name"]


def test_training_lists_hold_the_target_and_the_hardest_others(cold):
    graph, examples = graph_paths(cold.data, cold.config.paths), cold.examples()
    scorer, _ = train(graph, cold.config, examples)
    lists = rerank.hardest(scorer, graph, examples, 40, 0)
    rows = np.arange(40)
    before = examples.candidate_items[rows, examples.target[:40]]
    assert (lists.candidate_items[rows, lists.target] == before).all()
    assert lists.candidate_items.shape == (40, rerank.SHOWN)
    assert all(len(set(row.tolist())) == rerank.SHOWN for row in lists.candidate_items)
    # The target's place tells nothing.
    assert len(set(lists.target.tolist())) > 5


def test_equal_scores_count_against_the_target():
    slots = rerank.first_twenty(np.zeros((2, 30), np.float32), np.array([0, 29]))
    assert not (slots == np.array([[0], [29]])).any()
    scores = np.arange(30, dtype=np.float32)[None]
    assert rerank.first_twenty(scores, np.array([29]))[0, 0] == 29


@pytest.mark.slow
def test_both_arms_add_to_the_base_and_are_kept(cold, model, monkeypatch):
    monkeypatch.setattr(rerank, "EXAMPLES", 24)
    rows = rerank.measure(cold, ("tfidf",), model)
    assert [r["name"] for r in rows] == [
        "base + language model as reranker",
        "base + language model as reranker, permuted texts",
    ]
    real, permuted = (np.load(cold.folder / f"rerank-{arm}.npy") for arm in rerank.ARMS)
    assert real.shape == permuted.shape
    assert not np.allclose(real, permuted)
    # What is measured is what the base found: a reranker cannot bring in a target.
    known = cold.ranks(("tfidf",))
    assert all(0 <= r["ndcg@10"] <= np.mean(known <= rerank.SHOWN) for r in rows)
    monkeypatch.setattr(rerank, "read_lists", None)
    again = Cold(cold.world, cold.config, cold.encoded, cold.folder)
    assert rerank.measure(again, ("tfidf",), model) == rows
