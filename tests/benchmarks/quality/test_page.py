"""What the page of the quality benchmark tells."""

import pandas as pd

from benchmarks.quality import costs, published
from benchmarks.quality import page as quality_page
from benchmarks.quality.table import summary


def test_a_run_names_the_chip_that_it_used():
    run_of = {"hardware": {"processor": "CPU", "cores": 4, "gpus": ["H200"]}, "threads": 1}
    on_gpu = {**run_of, "device": "cuda", "versions": {"torch": "2.11.0"}}
    told = costs.machine(on_gpu)
    assert told == "H200 beside CPU, 1 of 4 cores a run, torch 2.11.0"
    assert costs.chip(on_gpu) == "H200"
    on_cpu = {**run_of, "device": "cpu", "versions": {"torch": "2.13.0"}}
    assert costs.machine(on_cpu) == "CPU, 1 of 4 cores a run, torch 2.13.0"
    # Older runs say neither device nor versions, and were made on processors.
    assert costs.machine(run_of) == "CPU, 1 of 4 cores a run"
    nameless = {**on_gpu, "hardware": {"processor": "CPU", "cores": 4}}
    assert costs.chip(nameless) == "GPU"


def test_the_table_of_costs_has_a_line_a_row_and_chip():
    about = {
        "hardware": {"processor": "CPU", "cores": 4, "gpus": ["H200"]},
        "tokens_per_prompt": 300.0,
        "prompts_ranked": 100,
        "seconds": {"ranker": 5.0, "evaluation": 20.0},
        "cross_entropy": {"val": {"lm": {"mean": 2.5, "se": 0.25}}},
        "faithfulness": {"deletion": {"ranker": {"fall": 4.0, "control": 0.0}}},
    }
    silent = {**about, "tokens_per_prompt": 0.0}
    slower = {**about, "seconds": {"ranker": 7.0, "evaluation": 40.0}, "faithfulness": None}
    slower["cross_entropy"] = {"val": {"lm": {"mean": 2.75, "se": 0.5}}}
    runs = {"scorer/0": silent, "lkgrag/0": about, "lkgrag/1": slower}
    (line,) = costs.costs(runs).splitlines()[2:]
    assert line == "| **lkgrag** | 300 | 6 | 0.30 | 2.750 ± 0.500 | 4.0 (0.0) |  |"
    lines = costs.costs({**runs, "lkgrag/2": {**about, "device": "cuda"}}).splitlines()[2:]
    assert [line.split(" | ")[:4] for line in lines] == [
        ["| **lkgrag**", "CPU", "300", "6"],
        ["| **lkgrag**", "H200", "300", "5"],
    ]
    assert costs.costs({"scorer/0": silent}) == ""


def test_targets_of_all_data_sets_stand_in_one_table_and_misses_are_told():
    met = {"name": "Q2_gain", "what": "gain", "value": 7.0, "target": 5, "met": True, "shared": 4.0}
    first = {"name": "Q1_gain", "what": "fusing", "value": None, "target": 0, "met": False}
    missed = {**met, "value": 1.5, "met": False}
    results = {"ml-100k": {"targets": [met, first]}, "amazon-beauty": {"targets": [missed]}}
    assert quality_page.targets(results).splitlines()[2:] == [
        "| Q1_gain: fusing | **missed: not measured (0)** |  |",
        "| Q2_gain: gain | 7 / 4 (5) | **missed: 1.5 / 4 (5)** |",
    ]


def test_the_sentence_on_the_language_model_counts_intervals_without_0():
    def result(mean, low, high):
        return {
            "rows": [
                {"row": "lkgrag"},
                {"row": "scorer", "minus": {"mean": mean, "low": low, "high": high, "p": 0.1}},
            ]
        }

    results = {"a": result(-0.0002, -0.0004, 0.0), "b": result(0.0031, -0.001, 0.005)}
    told = quality_page.language_model(results)
    assert "between -.0002 and +.0031 NDCG@10 on 2 tests; every interval includes 0." in told
    results["c"] = result(0.004, 0.003, 0.005)
    assert "on 3 tests; intervals without 0: 1." in quality_page.language_model(results)


def test_published_figures_stand_above_ours():
    means = {"ndcg@10": 0.2, "recall@10": 0.3}
    rows = [{"row": "lrurec", "mean": means}]
    lines = published.beside({"ml-latest-small": {"rows": rows}}).splitlines()
    assert lines[2].endswith("| .0609 (.1098) | .0498 (.0868) |")
    assert lines[5] == "| here: LRURec | .2000 (.3000) | – |"
    assert published.figure("lkg-rag-preference", "amazon-beauty") == "–"


def test_rows_of_a_sample_stand_with_what_their_shared_events_say():
    users = [f"u{n}" for n in range(8)]
    whole = pd.DataFrame({
        "split": "test", "user": users, "position": 3, "candidates": 20, "retrieved": True,
        "rank_retriever": 2, "rank_ranker": [1, 2] * 4, "row": "lkgrag", "seed": 0,
    })  # fmt: skip
    sample = whole[:4].assign(row="llamarec+fusion", rank_ranker=[2, 2, 2, 3])
    settings = {"rows": {"lkgrag": {}, "llamarec+fusion": {}}}
    rows = summary(pd.concat([whole, sample], ignore_index=True), settings)
    text = quality_page.samples({"rows": rows, "main": "lkgrag"})
    assert "| LlamaRec + fusion with the prior | 4 |" in text
    assert quality_page.samples({"rows": rows[:3], "main": "lkgrag"}) == ""
