"""What a large model costs, shown with a tiny one; and what machine a result names."""

import pytest
import torch
from helpers.small_run import small_options

from benchmarks import common, large, run
from lkgrag.run.provenance import hardware


@pytest.mark.slow
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


def test_the_quick_form_says_what_it_found_and_writes_nothing(tmp_path, monkeypatch, capsys):
    cost = {"trained": 8, "training_seconds": 4.0, "ranked": 10, "ranking_seconds": 1.0}
    found = {"candidates": {**cost, "peak_gib": None}, "letters": {**cost, "peak_gib": 5.25}}
    monkeypatch.setattr(large, "measure", lambda *given: dict(found))
    monkeypatch.setattr(large, "fetch_model", lambda name: tmp_path)
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    assert run.main(["large", "--quick"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "candidates: a prompt takes 0.5 s to train on, 0.1 s to rank",
        "letters: a prompt takes 0.5 s to train on, 0.1 s to rank, 5.2 GiB",
    ]
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_large_without_a_gpu_is_refused(capsys):
    assert run.main(["large"]) == 2
    assert "large needs a GPU; --quick" in capsys.readouterr().err


def test_hardware_names_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert "gpus" not in hardware()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    assert hardware()["gpus"] == ["GPU 0", "GPU 1"]
