"""4-bit base and LoRA: loading, learning, saving, on whatever device is at hand."""

import sys
import types
from dataclasses import replace

import pytest
import torch

from lkgrag.config import LLMConfig, PromptConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import ModelError
from lkgrag.llm import LMScorer, load_llm
from lkgrag.llm.four_bit import four_bit_options, own_device, refuse_four_bit
from lkgrag.prompt import Prompter
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
FILLED = PATHS.candidate_items >= 0
CPU = torch.device("cpu")
GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("qlora") / "model"
    tokenizer = tiny_tokenizer()
    tiny_llama(len(tokenizer), hidden_size=64).save_pretrained(where)
    tokenizer.save_pretrained(where)
    return where


def build(folder, readout="candidates", device="cpu", seed=0, **options):
    config = LLMConfig(
        name=str(folder), quantization="nf4", dtype="float32", readout=readout, **options
    )
    model, tokenizer = load_llm(config, device)
    scorer = LMScorer(model, config, seed).to(device)
    make = Prompter(tokenizer, DATA, PromptConfig(), readout).fit([PATHS])
    return scorer, make(PATHS, None, torch.arange(4).repeat(3, 1)).to(device)


def loss_of(scorer, tokens):
    scores = scorer(tokens).masked_fill(~FILLED.to(tokens.input_ids.device), float("-inf"))
    target = torch.tensor([2, 1], device=scores.device)
    return torch.nn.functional.cross_entropy(scores[:2], target)


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_qlora_learns_and_comes_back_from_its_files(folder, tmp_path, readout, device):
    scorer, tokens = build(folder, readout, device, gradient_checkpointing=True)
    base = {n: p.clone() for n, p in scorer.named_parameters() if not p.requires_grad}
    assert any(type(m).__name__ == "Linear4bit" for m in scorer.modules())
    with torch.no_grad():
        # As the readout's probe does before training.
        before = loss_of(scorer.eval(), tokens).item()
    scorer.train()
    learned = [p for p in scorer.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-2)
    for _ in range(12):
        loss = loss_of(scorer, tokens)
        loss.backward()
        for name, parameter in scorer.named_parameters():
            if parameter.requires_grad:
                assert torch.isfinite(parameter.grad).all(), name
        optimizer.step()
        optimizer.zero_grad()
    scorer.eval()
    assert loss_of(scorer, tokens).item() < 0.5 * before
    for name, parameter in scorer.named_parameters():
        if name in base:
            assert torch.equal(parameter, base[name]), name
    scorer.save(tmp_path / "lm")
    other, _ = build(folder, readout, device, seed=5)
    other.eval()
    with torch.no_grad():
        assert not torch.equal(other(tokens), scorer(tokens))
        other.load(tmp_path / "lm")
        torch.testing.assert_close(other(tokens), scorer(tokens), atol=1e-6, rtol=0)


def test_qlora_reaches_every_adapter_after_a_look_without_gradients(folder):
    scorer, tokens = build(folder)
    with torch.no_grad():
        scorer.eval()(tokens)
    # A fresh B is 0 and keeps every A from its gradient.
    for name, parameter in scorer.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, 0, 0.1)
    loss_of(scorer, tokens).backward()
    for name, parameter in scorer.named_parameters():
        if "lora_" in name:
            assert parameter.grad.abs().max() > 0, name


def test_qlora_is_near_the_whole_model(folder):
    scorer, tokens = build(folder, "letters")
    whole = LMScorer(
        tiny_llama(len(tiny_tokenizer()), hidden_size=64), LLMConfig(readout="letters")
    )
    with torch.no_grad():
        one, other = scorer(tokens)[FILLED], whole(tokens)[FILLED]
    assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.9
    assert not torch.equal(one, other)


def test_the_preset_is_qlora_as_published():
    config = load_config({"preset": "llama-2-7b"})
    assert config.llm.name == "meta-llama/Llama-2-7b-hf"
    assert (config.llm.quantization, config.llm.dtype) == ("nf4", "bfloat16")
    assert config.llm.gradient_checkpointing
    options = four_bit_options(torch.bfloat16, CPU, sharded=False)
    found = options["quantization_config"]
    assert found.load_in_4bit
    assert found.bnb_4bit_quant_type == "nf4"
    assert found.bnb_4bit_use_double_quant
    assert found.bnb_4bit_compute_dtype == torch.bfloat16
    assert found.bnb_4bit_quant_storage == torch.uint8
    sharded = four_bit_options(torch.bfloat16, CPU, sharded=True)["quantization_config"]
    assert sharded.bnb_4bit_quant_storage == torch.bfloat16


def test_each_process_takes_its_own_device(monkeypatch):
    assert own_device(torch.device("cuda", 3)) == 3
    assert own_device(CPU) == "cpu"
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert own_device(torch.device("cuda")) == 1
    assert four_bit_options(torch.float32, CPU, sharded=False)["device_map"] == {"": "cpu"}


def test_checkpointing_is_of_the_kind_that_lora_needs(folder):
    scorer, _ = build(folder, gradient_checkpointing=True)
    layer = scorer.model.get_base_model().model.layers[0]
    assert layer.gradient_checkpointing
    assert layer._gradient_checkpointing_func.keywords == {"use_reentrant": False}


def test_four_bits_where_they_cannot_run(folder, monkeypatch):
    with pytest.raises(ModelError, match="bitsandbytes cannot run on meta") as error:
        refuse_four_bit(torch.device("meta"))
    assert "\n" not in str(error.value)
    broken = types.ModuleType("bitsandbytes.functional")
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", broken)
    with pytest.raises(ModelError, match=r"cannot run on cpu.*llm\.quantization=none"):
        load_llm(LLMConfig(name=str(folder), quantization="nf4"))


def test_storage_in_bfloat16_computes_the_same(folder, monkeypatch):
    plain, tokens = build(folder, "letters")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    config = replace(plain.config, dtype="bfloat16")
    model, _ = load_llm(config)
    assert model.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    other, _ = load_llm(config)
    assert other.model.layers[0].mlp.up_proj.weight.dtype == torch.uint8
    with torch.no_grad():
        torch.testing.assert_close(LMScorer(model, config)(tokens), LMScorer(other, config)(tokens))
