"""Tiny random models of each kind, read as letters and refused or accepted as candidates."""

from dataclasses import replace

import pytest
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from lkgrag.config import LLMConfig, PromptConfig
from lkgrag.errors import ModelError
from lkgrag.llm import LMScorer
from lkgrag.llm.logits import LogitRule, find_rule, possible_rules
from lkgrag.llm.lora import decoder_layers
from lkgrag.prompt import Prompter
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
TOKENIZER = tiny_tokenizer()
WINDOW = 16
SIZE = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
#: Name -> (model type, further options, whether every layer attends to the whole prompt).
KINDS = {
    "llama-2": ("llama", {}, True),
    "llama-3": ("llama", {"rope_parameters": LLAMA3, "tie_word_embeddings": True}, True),
    "qwen2": ("qwen2", {"use_sliding_window": False, "sliding_window": WINDOW}, True),
    "qwen3": ("qwen3", {}, True),
    "mistral": ("mistral", {"sliding_window": None}, True),
    "mistral-window": ("mistral", {"sliding_window": WINDOW}, False),
    "gemma": ("gemma", {}, True),
    "gemma2": (
        "gemma2",
        {"sliding_window": WINDOW, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
        False,
    ),
    "gemma3": ("gemma3_text", {"sliding_window": WINDOW, "query_pre_attn_scalar": 8}, False),
    "phi": ("phi", {}, True),
    "phi3": ("phi3", {"sliding_window": None}, True),
    "phi3-window": ("phi3", {"sliding_window": WINDOW}, False),
    "granite": ("granite", {"logits_scaling": 4.0, "residual_multiplier": 0.5}, True),
    "cohere": ("cohere", {"logit_scale": 0.0625}, True),
}
WHOLE = [name for name, (_, _, whole) in KINDS.items() if whole]
WINDOWED = [name for name, (_, _, whole) in KINDS.items() if not whole]


def tiny(name):
    kind, options, _ = KINDS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SIZE, **options))
    return model.float().eval().requires_grad_(False)


def scorer(name, **options):
    model = LMScorer(tiny(name), LLMConfig(dtype="float32", **options), seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:
            torch.nn.init.normal_(parameter, 0, 0.1, generator=generator)
    return model


def prompts(readout):
    make = Prompter(TOKENIZER, DATA, PromptConfig(), readout).fit([PATHS])
    return make(PATHS, None, torch.tensor([[2, 0, 3, 1]] * 3))


@pytest.mark.parametrize("name", KINDS)
def test_letters_are_the_models_own_logits(name):
    tokens = prompts("letters")
    assert tokens.lengths.max() > 2 * WINDOW
    model = scorer(name, readout="letters")
    scores = model(tokens)
    model.model.get_base_model().set_attn_implementation("eager")
    logits = model.model(
        input_ids=tokens.input_ids, attention_mask=(tokens.block >= 0).long()
    ).logits
    filled = (PATHS.candidate_items >= 0).nonzero().tolist()
    expected = [logits[row, tokens.read[row, s], tokens.letter[row, s]] for row, s in filled]
    found = [scores[row, s] for row, s in filled]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), atol=1e-4, rtol=1e-4)
    assert torch.stack(found).std() > 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_letters_learn_on_every_layer_and_through_the_gates(name):
    tokens = prompts("letters")
    model = scorer(name, readout="letters", gradient_checkpointing=True).train()
    salience = torch.zeros(len(PATHS), requires_grad=True)
    scores = model(tokens, tokens.bundle_salience(salience))
    torch.nn.functional.cross_entropy(scores[:1], torch.tensor([1])).backward()
    assert torch.isfinite(salience.grad).all()
    assert salience.grad.abs().max() > 0
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for parameter_name, parameter in learned.items():
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name
    for number, layer in enumerate(decoder_layers(model.model)):
        linear = [n for n, m in layer.named_modules() if n.endswith("base_layer")]
        assert len(linear) >= 4, (number, linear)


@pytest.mark.parametrize("name", WHOLE)
def test_candidates_do_not_see_each_other(name):
    model = scorer(name)
    make = Prompter(TOKENIZER, DATA, PromptConfig(), "candidates").fit([PATHS])
    with torch.no_grad():
        one = model(make(PATHS, None, torch.tensor([[0, 1, 2, 3]] * 3)))
        other = model(make(PATHS, None, torch.tensor([[3, 1, 0, 2]] * 3)))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert one[0].std() > 1e-3


@pytest.mark.parametrize("name", WINDOWED)
def test_candidates_refuse_windows_in_one_line(name):
    with pytest.raises(ModelError, match=r"full attention in every layer.*letters") as error:
        scorer(name)
    assert "\n" not in str(error.value)
    assert KINDS[name][0] in str(error.value)


def test_the_rule_is_found_by_comparison_not_by_name():
    assert find_rule(tiny("llama-2")) == LogitRule()
    assert find_rule(tiny("granite")) == LogitRule(scale=0.25)
    assert find_rule(tiny("cohere")) == LogitRule(scale=0.0625)
    assert find_rule(tiny("gemma2")) == LogitRule(cap=3.0)
    # The same option, which another model multiplies by.
    assert LogitRule(scale=4.0) in possible_rules(tiny("granite").config)


def test_logits_of_an_unknown_make_are_refused():
    model = tiny_llama(len(TOKENIZER))
    whole = model.forward

    def odd(*args, **kwargs):
        out = whole(*args, **kwargs)
        out.logits = out.logits**2
        return out

    model.forward = odd
    with pytest.raises(ModelError, match="llama models are not their head's product") as error:
        LMScorer(model, LLMConfig(readout="letters"))
    assert "\n" not in str(error.value)
    LMScorer(model, LLMConfig())


@pytest.mark.parametrize("attention", ["blocks", "sdpa"])
def test_attention_that_does_not_fit_is_refused(attention):
    with pytest.raises(ModelError, match=f"llm.attention={attention} does not fit a gemma2"):
        scorer("gemma2", readout="letters", attention=attention)
    assert scorer("gemma2", readout="letters").attention == "eager"
    assert scorer("mistral-window", readout="letters").attention == "sdpa"


def test_models_of_another_kind_are_refused_in_one_line():
    small = {"vocab_size": len(TOKENIZER), "n_embd": 8, "n_layer": 1, "n_head": 2}
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(**small))
    with pytest.raises(ModelError, match="Llama kind"):
        LMScorer(gpt2, LLMConfig(readout="letters"))
    bloom = {"vocab_size": len(TOKENIZER), "hidden_size": 8, "n_layer": 1, "n_head": 2}
    model = transformers.BloomForCausalLM(transformers.BloomConfig(**bloom))
    with pytest.raises(ModelError, match="takes no position_ids"):
        LMScorer(model, LLMConfig(readout="letters"))


def test_checkpointed_layers_are_computed_twice():
    tokens = prompts("candidates")
    calls = {}
    for on in (False, True):
        model = scorer("llama-2", gradient_checkpointing=on, lora_layers=1).train()
        layer = decoder_layers(model.model)[-1]
        count = []
        layer.mlp.register_forward_pre_hook(lambda *args, count=count: count.append(1))
        model(tokens).sum().backward()
        calls[on] = len(count)
    assert calls == {False: 1, True: 2}


def test_padding_is_masked_whatever_its_token():
    tokens = prompts("letters")
    pad = tokens.block < 0
    assert pad.any()
    model = scorer("mistral-window", readout="letters")
    other = replace(tokens, input_ids=tokens.input_ids.masked_fill(pad, 7))
    torch.testing.assert_close(model(other), model(tokens), atol=1e-5, rtol=0)
