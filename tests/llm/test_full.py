"""Full fine-tuning: which weights learn, in which type, and how they are saved."""

import pytest
import torch

from lkgrag.config import LLMConfig, TrainingConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, LkgragError, ModelError
from lkgrag.llm import LMScorer, full, load_llm, requirements
from lkgrag.llm.loading import count_kept_parameters
from lkgrag.llm.requirements import refuse_without_memory
from lkgrag.prompt import build_prompter
from lkgrag.ranker.model import RankerModel
from lkgrag.testing.llm import WORDS, tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths
from lkgrag.training.objective import build_optimizer
from lkgrag.training.sharding import choose_shards

TOKENIZER = tiny_tokenizer(WORDS)
DATA, PATHS = toy_paths()


def scorer(**options):
    given = {"adapter": "full", "dtype": "float32"} | options
    return LMScorer(tiny_llama(len(TOKENIZER), layers=3), LLMConfig(**given), seed=0)


def tokens(model):
    config = load_config({}).prompt
    make = build_prompter(TOKENIZER, DATA, config, model.readout.layout).fit([PATHS])
    return make(PATHS, None, torch.arange(PATHS.num_candidates).repeat(PATHS.num_prompts, 1))


def learning(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"adapter": "full"}, True),
        ({"adapter": "lora"}, False),
        ({"adapter": "auto"}, True),
        ({"adapter": "auto", "quantization": "nf4"}, False),
    ],
)
def test_which_models_learn_whole(options, expected):
    assert full.is_full(LLMConfig(**options), full.LIMIT - 1) is expected
    assert full.is_full(LLMConfig(adapter="auto"), full.LIMIT) is False


def test_all_weights_but_an_unused_head_learn():
    model = scorer()
    assert model.is_full
    found = learning(model)
    assert any("embed_tokens" in name for name in found)
    assert sum("q_proj" in name for name in found) == 3
    assert not any("lora" in name or "lm_head" in name for name in found)
    model(tokens(model)).square().sum().backward()
    named = dict(model.named_parameters())
    assert all(named[name].grad is not None for name in found)
    # The model of an export learns nothing but its readout.
    frozen = tiny_llama(len(TOKENIZER)).requires_grad_(False)
    fixed = LMScorer(frozen, LLMConfig(adapter="full"), adapter=False)
    assert all(name.startswith("readout.") for name in learning(fixed))


def test_the_weights_have_the_rate_of_the_adapter():
    ranker = RankerModel(scorer(), torch.nn.Linear(2, 1), object())
    optimizer = build_optimizer(ranker, TrainingConfig(lr=0.5, head_lr=0.25, scorer_lr=0.125))
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert groups["lm"]["lr"] == 0.5
    assert len(groups["lm"]["params"]) == sum("model." in n for n in learning(ranker.lm))
    assert groups["head"]["lr"] == 0.25


@pytest.mark.parametrize("attention", ["blocks", "sdpa", "eager"])
def test_products_in_half_precision_leave_the_weights_in_float32(attention):
    exact, mixed = scorer(attention=attention), scorer(attention=attention, dtype="bfloat16")
    assert mixed.dtype == torch.bfloat16
    prompts = tokens(exact)
    a, b = exact(prompts), mixed(prompts)
    torch.testing.assert_close(a, b, atol=0.1, rtol=0.1)
    assert not torch.equal(a, b)
    b.square().sum().backward()
    for name, p in mixed.named_parameters():
        if p.requires_grad:
            assert p.dtype == p.grad.dtype == torch.float32, name
            assert torch.isfinite(p.grad).all()


@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_changed_weights_are_saved_and_read_bit_for_bit(readout, tmp_path):
    model, other = scorer(readout=readout), scorer(readout=readout)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))))
    model.save(tmp_path)
    assert not (tmp_path / "adapter_model.safetensors").exists()
    prompts = tokens(model)
    assert not torch.equal(model(prompts), other(prompts))
    other.load(tmp_path)
    assert torch.equal(model(prompts), other(prompts))
    smaller = LMScorer(tiny_llama(len(TOKENIZER), layers=2), LLMConfig(adapter="full"), seed=0)
    with pytest.raises(ModelError, match="weights of another model"):
        smaller.load(tmp_path)
    (tmp_path / full.WEIGHTS_FILE).unlink()
    with pytest.raises(LkgragError):
        other.load(tmp_path)


@pytest.fixture
def folder(tmp_path):
    tiny_llama(len(TOKENIZER), layers=3).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    return tmp_path


def test_a_model_that_learns_whole_is_loaded_in_float32(folder, monkeypatch):
    options = {"name": str(folder), "dtype": "bfloat16"}
    assert load_llm(LLMConfig(**options))[0].dtype == torch.bfloat16
    for adapter in ("full", "auto"):
        assert load_llm(LLMConfig(**options, adapter=adapter))[0].dtype == torch.float32
    monkeypatch.setattr(full, "LIMIT", 100)
    assert load_llm(LLMConfig(**options, adapter="auto"))[0].dtype == torch.bfloat16


def test_the_kept_layers_are_counted_without_loading(folder):
    for layers in (0, 2):
        config = LLMConfig(name=str(folder), layers=layers, dtype="float32")
        model, _ = load_llm(config)
        assert count_kept_parameters(config, str(folder)) == full.count_weights(model)
    with pytest.raises(ModelError, match="has 3 layers"):
        count_kept_parameters(LLMConfig(layers=4), str(folder))


def test_memory_for_gradients_and_moments_is_asked_for_beforehand(folder, monkeypatch):
    config = LLMConfig(name="some/model", adapter="full")
    needed = full.TRAINED * count_kept_parameters(config, str(folder))
    monkeypatch.setattr(requirements, "free_memory", lambda: needed)
    refuse_without_memory(config, str(folder), torch.device("cpu"))
    monkeypatch.setattr(requirements, "free_memory", lambda: needed - 1)
    with pytest.raises(ModelError, match=r"gradients and moments, .*set llm\.adapter=lora"):
        refuse_without_memory(config, str(folder), torch.device("cpu"))
    small = LLMConfig(name="some/model", adapter="lora", dtype="float32")
    refuse_without_memory(small, str(folder), torch.device("cpu"))


def test_weights_in_4_bits_cannot_learn():
    with pytest.raises(
        ConfigError, match=r"llm\.adapter=full .*cannot learn: set llm\.adapter=lora"
    ):
        load_config({"llm.adapter": "full", "llm.quantization": "nf4"})


def test_there_is_nothing_to_shard():
    ranker = RankerModel(scorer(), torch.nn.Linear(2, 1), object())
    with pytest.raises(ConfigError, match=r"set llm\.adapter=lora"):
        choose_shards(None, ranker)
