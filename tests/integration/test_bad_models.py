"""What a user can get wrong about models and processes: one line, exit status 2, nothing lost."""

import json
import shutil
import sys

import pytest
import torch
from helpers.small_run import small_options
from tokenizers import Tokenizer

from lkgrag.llm import LMScorer
from lkgrag.train import main
from lkgrag.training.loop import Trainer


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A small folder of data; the stages before the model are built once for all tests."""
    return tmp_path_factory.mktemp("bad")


@pytest.fixture
def options(root, tmp_path):
    small = small_options(root)
    shutil.copytree(root / "llm", tmp_path / "llm")
    return {**small, "out": str(tmp_path / "out"), "llm.name": str(tmp_path / "llm")}


@pytest.fixture
def fails(monkeypatch, capsys):
    """Run lkgrag.train; give the one line of its error."""

    def call(options):
        pairs = [f"{key}={value}" for key, value in options.items()]
        monkeypatch.setattr(sys, "argv", ["lkgrag.train", *pairs])
        assert main() == 2
        err = capsys.readouterr().err
        lines = [line for line in err.splitlines() if "error:" in line]
        assert len(lines) == 1, err
        assert "Traceback" not in err
        return lines[0]

    return call


def test_a_model_folder_without_a_tokenizer(options, tmp_path, fails):
    for path in (tmp_path / "llm").glob("tokenizer*"):
        path.unlink()
    assert "holds no tokenizer; copy tokenizer.json" in fails(options)


def test_letters_that_are_no_single_tokens(options, tmp_path, fails):
    path = tmp_path / "llm" / "tokenizer.json"
    content = json.loads(path.read_text())
    model = content["model"]
    # A tokenizer that knows capital letters in pairs only.
    model["vocab"] = {k: v for k, v in model["vocab"].items() if k not in "BCD" and k != "ĠC"}
    model["merges"] = [m for m in model["merges"] if not set("BCD") & set("".join(m))]
    path.write_text(json.dumps(content))
    Tokenizer.from_file(str(path))
    line = fails({**options, "llm.readout": "letters"})
    assert "is not a single token behind '### Response:'" in line
    assert "llm.readout=candidates" in line


def test_windows_of_attention(options, tmp_path, fails):
    path = tmp_path / "llm" / "config.json"
    config = json.loads(path.read_text())
    config |= {
        "model_type": "mistral",
        "sliding_window": 64,
        "architectures": ["MistralForCausalLM"],
    }
    path.write_text(json.dumps(config))
    line = fails(options)
    assert "needs full attention in every layer, but this mistral model has" in line
    assert "llm.readout=letters" in line


def test_four_bits_without_bitsandbytes(options, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    line = fails({**options, "llm.quantization": "nf4"})
    assert "nf4 needs the package bitsandbytes: pip install bitsandbytes" in line


def test_more_processes_than_devices(options, fails, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert "2 processes, but this machine has 1 GPU: " in fails(options)


def test_sharding_on_a_cpu(options, fails, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert "FSDP was asked for" in fails(options)


def test_a_resumed_run_with_other_data_keeps_what_there_was(
    options, tmp_path, fails, monkeypatch, capsys
):
    own = tmp_path / "data"
    own.mkdir()
    for name in ("shop.inter", "shop.item"):
        shutil.copy(f"{options['data.root']}/{name}", own / name)
    options = {**options, "data.root": str(own)}
    whole = Trainer._save

    def stop(self, optimizer, step, curve):
        whole(self, optimizer, step, curve)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_save", stop)
    monkeypatch.setattr(sys, "argv", ["x", *(f"{k}={v}" for k, v in options.items())])
    assert main() == 130
    capsys.readouterr()
    monkeypatch.setattr(Trainer, "_save", whole)
    kept = next((tmp_path / "out" / "checkpoints").glob("*.safetensors")).read_bytes()
    lines = (own / "shop.inter").read_text().splitlines()
    (own / "shop.inter").write_text("\n".join(lines[:-1]) + "\n")
    line = fails(options)
    assert "the checkpoint belongs to other data or options" in line
    assert "overwrite=true" in line
    assert next((tmp_path / "out" / "checkpoints").glob("*.safetensors")).read_bytes() == kept


def test_out_of_memory_names_three_settings(options, fails, monkeypatch):
    monkeypatch.setattr(LMScorer, "hidden", lambda *args: torch.empty(1 << 50))
    line = fails(options)
    for setting in ("training.micro_batch", "evaluation.batch_size", "prompt.max_tokens"):
        assert setting in line
