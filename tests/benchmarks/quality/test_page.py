"""What the page of the quality benchmark tells."""

import pandas as pd

from benchmarks.quality import costs
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


def test_the_table_of_costs_says_which_chip():
    about = {
        "hardware": {"processor": "CPU", "cores": 4, "gpus": ["H200"]},
        "tokens_per_prompt": 300.0,
        "prompts_ranked": 100,
        "seconds": {"ranker": 5.0, "evaluation": 20.0},
    }
    silent = {**about, "tokens_per_prompt": 0.0}
    runs = {"scorer/0": silent, "lkgrag/0": about, "lkgrag/1": {**about, "device": "cuda"}}
    lines = costs.costs(runs).splitlines()[2:]
    assert [line.split(" | ")[:5] for line in lines] == [
        ["| lkgrag/0", "CPU", "300", "5", "0.20"],
        ["| lkgrag/1", "H200", "300", "5", "0.20"],
    ]


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
