import json
import subprocess
import sys

import pytest
import torch
from helpers import processes
from helpers.small_run import small_options
from transformers import AutoModelForCausalLM, AutoTokenizer

from lkgrag import Ranker
from lkgrag.config import LLMConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, ModelError, RunError
from lkgrag.llm import LMScorer
from lkgrag.llm.lora import add_lora
from lkgrag.llm.merge import merge
from lkgrag.ranker.fusion import TermWeights
from lkgrag.run.pipeline import train
from lkgrag.serving.export import export
from lkgrag.serving.saved_run import load_run
from lkgrag.testing.llm import tiny_llama

pytestmark = pytest.mark.slow

#: Largest difference in score that merging in float32 may make.
BOUND = 2e-4
RUNS = {
    "plain": {"llm.readout": "letters", "llm.lora_targets": "q_proj,v_proj,lm_head"},
    "nf4": {
        "llm.quantization": "nf4",
        "llm.readout": "candidates",
        "llm.gradient_checkpointing": "true",
        "training.lr": "0.01",
    },
}


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    """A finished run, in full precision or as QLoRA, through the whole of lkgrag.train."""
    root = tmp_path_factory.mktemp(request.param)
    train(load_config({**small_options(root), **RUNS[request.param]}))
    return root / "out"


def started(*arguments):
    """A fresh interpreter's."""
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def reading(folder):
    """A saved ranker in which the language model counts in full."""
    ranker = Ranker.from_pretrained(folder, lm="always")
    ranker.fusion.set(TermWeights(1.0, 0.5, 0.5))
    return ranker


def test_a_damaged_file_of_an_export_is_refused_by_name(run, tmp_path):
    out = tmp_path / "exported"
    export(run, str(out), "auto", 2, overwrite=False)
    # What is written for people may change.
    (out / "README.md").write_text("mine")
    (out / "generation_config.json").unlink(missing_ok=True)
    Ranker.from_pretrained(out, lm="always")
    for name in ("model.safetensors", "tokenizer.json", "config.json", "ranker/ranker.json"):
        whole = (out / name).read_bytes()
        content = bytearray(whole)
        content[len(whole) // 2] ^= 1
        (out / name).write_bytes(content)
        with pytest.raises(RunError, match=rf"{name.rpartition('/')[2]}: broken, its SHA-256"):
            Ranker.from_pretrained(out, lm="always")
        (out / name).write_bytes(whole)
    (out / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: no such file"):
        Ranker.from_pretrained(out, lm="always")


def test_qlora_and_plain_lora_run_through_the_whole_training(run):
    curve = json.loads((run / "curve.json").read_text())["ranker"]
    assert len(curve) == 3
    assert all(row["gradient_norm"] > 0 for row in curve)
    metrics = json.loads((run / "metrics.json").read_text())
    assert 0 <= metrics["lm"]["test"]["all"]["ndcg@10"] <= 1
    config = load_run(str(run))[1]
    ranker = reading(run)
    four_bit = any(type(m).__name__ == "Linear4bit" for m in ranker.model.modules())
    assert four_bit == (config.llm.quantization == "nf4")
    learned = [p for n, p in ranker.model.lm.named_parameters() if "lora_B" in n]
    assert all(p.abs().max() > 0 for p in learned)
    copy = reading(run / "ranker")
    users = ranker.users()[:5]
    assert ranker.recommend_users(users, k=5) == copy.recommend_users(users, k=5)


def test_an_export_is_a_plain_model_and_serves_like_the_run(run, tmp_path):
    out = tmp_path / "exported"
    done = started("lkgrag.export", f"run={run}", f"out={out}", "prompts=20")
    assert done.returncode == 0, done.stderr
    assert "largest difference over 20 prompts (160 scores)" in done.stdout
    moved = json.loads((out / "export.json").read_text())
    assert 0 <= moved["lm"] < BOUND
    assert 0 <= moved["score"] < BOUND
    assert moved["first"] == 0
    # The adapter has an effect, so that the bound says something.
    ranker = reading(run)
    for name, parameter in ranker.model.lm.named_parameters():
        if "lora_B" in name:
            parameter.data.zero_()
    users = ranker.users()[:20]
    bare = ranker.recommend_users(users, k=3)
    served = reading(out)
    found = served.recommend_users(users, k=3)
    gap = max(
        abs(a.lm - b.lm)
        for one, other in zip(bare, found, strict=True)
        for a in one.items
        for b in other.items
        if a.item == b.item
    )
    assert gap > 10 * BOUND
    # Nothing of peft or bitsandbytes is left.
    assert not any("lora" in n or "base_layer" in n for n, _ in served.model.named_parameters())
    config = json.loads((out / "config.json").read_text())
    assert "quantization_config" not in config
    assert "blocks" not in json.dumps(config)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert not any(type(m).__name__ == "Linear4bit" for m in model.modules())
    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = torch.tensor([tokenizer("Thing 5")["input_ids"]])
    assert torch.isfinite(model(ids).logits).all()
    text = (out / "README.md").read_text()
    assert "Ranker.from_pretrained" in text
    assert ("4 bits" in text) == (load_run(str(run))[1].llm.quantization == "nf4")
    # A copy of it serves too, wherever it lies.
    served.save_pretrained(tmp_path / "copy")
    assert reading(tmp_path / "copy").recommend_users(users, k=3) == found
    done = processes.run("lkgrag.recommend", f"run={out}", "history=[i3]", "k=2", "format=json")
    assert done.returncode == 0, done.stderr
    with pytest.raises(ModelError, match="merged already"):
        export(load_run(str(out))[0], str(tmp_path / "again"), "auto", 2, False)


def test_a_type_of_half_the_size_and_a_folder_in_use(run, tmp_path):
    out = tmp_path / "half"
    folder = run
    moved = export(folder, str(out), "bfloat16", 4, False)
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert 0 < moved.lm < 0.5
    with pytest.raises(ConfigError, match=r"holds an export.*overwrite=true"):
        export(folder, str(out), "auto", 4, False)
    assert export(folder, str(out), "auto", 4, True).lm < BOUND
    with pytest.raises(ConfigError, match="holds the run"):
        export(folder, str(folder), "auto", 4, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    with pytest.raises(ConfigError, match=r"holds .* and no export"):
        export(folder, str(tmp_path / "mine"), "auto", 4, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["half", "mine"]


def test_bad_options_in_one_line(tmp_path):
    for arguments, message in (
        ([], "'run' is missing"),
        ([f"run={tmp_path}", "out=x"], "not a saved run"),
        (["run=x"], "'out' is missing"),
        (["run=x", "out=y", "dtype=int4"], "int4"),
        (["run=x", "out=y", "prompts=0"], "prompts"),
        (["run=x", "out=y", "overwrite=maybe"], "overwrite"),
    ):
        done = processes.run("lkgrag.export", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


def test_help_needs_no_torch():
    code = "import sys, lkgrag.export as e; sys.argv = ['x', '--help']; e.main(); "
    code += "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "overwrite" in done.stdout


def test_a_run_without_a_language_model(tmp_path):
    options = {**small_options(tmp_path), "llm.name": "none", "scorer.pretrain_epochs": "1"}
    train(load_config(options))
    with pytest.raises(ModelError, match="nothing to merge"):
        export(tmp_path / "out", str(tmp_path / "x"), "auto", 2, False)
    with pytest.raises(RunError, match="not a saved run"):
        load_run(str(tmp_path))


def test_an_adapted_head_gets_weights_of_its_own():
    from transformers import LlamaForCausalLM

    config = tiny_llama(40).config
    config.tie_word_embeddings = True
    base = LlamaForCausalLM(config).eval().requires_grad_(False)
    embedding = base.model.embed_tokens.weight.clone()
    model = add_lora(base, LLMConfig(lora_targets="lm_head"))
    torch.nn.init.normal_(model.get_base_model().lm_head.lora_B["default"].weight)
    ids = torch.arange(9)[None]
    expected = model(ids).logits
    merged = merge(model, torch.float32)
    torch.testing.assert_close(merged(ids).logits, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(merged.model.embed_tokens.weight, embedding)
    assert not merged.config.tie_word_embeddings
    with pytest.raises(ModelError, match="no adapter"):
        merge(merged, torch.float32)
    assert LMScorer(merged, LLMConfig(), adapter=False).model is merged
