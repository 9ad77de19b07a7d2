"""What a large model costs, shown with a tiny one; and what machine a result names."""

import json

import pytest
import torch
from small_run import small_options

from benchmarks import large, quality_page, quality_rows, run, tables
from lkgrag.rundir import hardware


def test_large_trains_and_ranks_in_four_bits_with_both_readouts(tmp_path):
    options = small_options(tmp_path)
    for name in ("llm.name", "llm.dtype", "out", "cache.root", "training.probe"):
        options.pop(name)
    options |= {"training.max_examples": "8", "evaluation.max_events": "6"}
    found = large.measure(tmp_path / "large", tmp_path / "llm", True, 0, options)
    assert found["weights"] > 0
    for readout in large.READOUTS:
        config = (tmp_path / "large" / readout / "config.yaml").read_text()
        assert "quantization: nf4" in config
        assert f"readout: {readout}" in config
        cost = found[readout]
        assert cost["trained"] == 8
        assert cost["ranked"] >= 6
        assert min(cost["training_seconds"], cost["ranking_seconds"]) > 0
    assert found["letters"]["tokens_a_prompt"] != found["candidates"]["tokens_a_prompt"]
    if torch.cuda.is_available():
        assert found["letters"]["peak_gib"] > 0
    else:
        assert found["letters"]["peak_gib"] is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_large_without_a_gpu_is_refused(capsys):
    assert run.main(["large"]) == 2
    assert "large needs a GPU; --quick" in capsys.readouterr().err


def test_the_stored_costs_of_a_large_model_stand_on_its_page():
    found = json.loads((tables.DOCS.parent / "benchmarks" / "results" / "large.json").read_text())
    assert tables.large(found) in (tables.DOCS / "large-models.md").read_text()


def test_hardware_names_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "gpus" not in hardware()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    assert hardware()["gpus"] == ["GPU 0", "GPU 1"]


def test_a_run_names_the_gpu_that_it_used():
    has = {"processor": "CPU", "cores": 4, "gpus": ["GPU"]}
    run_of = {"hardware": has, "threads": 1, "date": "2026-01-01"}
    assert (
        quality_page.machine({**run_of, "device": "cuda"}) == "GPU beside CPU, 1 of 4 cores a run"
    )
    assert quality_page.machine({**run_of, "device": "cpu"}) == "CPU, 1 of 4 cores a run"
    # Older runs do not say, and were made on processors.
    assert (
        quality_page.machine({**run_of, "hardware": {**has, "gpus": []}})
        == "CPU, 1 of 4 cores a run"
    )


def test_a_row_may_name_its_seeds():
    said = {
        "seeds": [0, 1, 2],
        "rows": {"all": {}, "one": {"seeds": 1}, "named": {"seeds": [1, 2, 7]}},
    }
    assert [quality_rows.seeds_of(said, row) for row in said["rows"]] == [[0, 1, 2], [0], [1, 2]]
