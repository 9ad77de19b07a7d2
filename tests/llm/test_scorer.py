from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, MistralConfig, MistralForCausalLM

from lkgrag.config import LLMConfig, PromptConfig
from lkgrag.errors import ModelError
from lkgrag.llm import LMScorer
from lkgrag.llm.readouts.base import refuse_sliding_windows
from lkgrag.prompt import Prompter
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
TOKENIZER = tiny_tokenizer()
SLOTS = PATHS.num_candidates


def prompter(readout="candidates", **options):
    return Prompter(TOKENIZER, DATA, PromptConfig(**options), readout).fit([PATHS])


def scorer(stir=True, **options):
    model = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(**options), seed=1)
    if stir:
        # A fresh adapter is the identity: give it an effect.
        generator = torch.Generator().manual_seed(2)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
    return model


def orders(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield torch.stack([torch.randperm(SLOTS, generator=generator) for _ in range(3)])


def without_mask(tokens):
    """The same prompts, read as plain text from left to right."""
    place = torch.arange(tokens.input_ids.shape[1]).expand_as(tokens.position_ids)
    return replace(tokens, block=tokens.block.clamp(max=0), position_ids=place)


@pytest.mark.parametrize("attention", ["blocks", "eager", "sdpa"])
def test_the_order_of_candidates_moves_no_score(attention):
    make, model = prompter(), scorer(attention=attention)
    salience = torch.linspace(-1, 1, len(PATHS))
    masked, plain = [], []
    with torch.no_grad():
        for order in orders(20):
            tokens = make(PATHS, salience, order)
            masked.append(model(tokens))
            plain.append(model(without_mask(tokens)))
    masked, plain = torch.stack(masked), torch.stack(plain)
    assert (masked - masked[0]).abs().max() < 1e-4
    # The scores say something, and without the mask the order does move them.
    assert masked[0, 0].std() > 1e-2
    assert (plain - plain[0]).abs().max() > 1e-2


def test_candidates_equal_one_prompt_a_candidate():
    make, model = prompter(), scorer()
    order = torch.arange(SLOTS).repeat(3, 1)
    together = model(make(PATHS, None, order))
    for slot in range(SLOTS):
        keep = torch.full_like(PATHS.candidate_items, -1)
        keep[:, slot] = PATHS.candidate_items[:, slot]
        alone = replace(PATHS.select(PATHS.candidate == slot), candidate_items=keep)
        torch.testing.assert_close(
            model(without_mask(make(alone, None, order)))[:, slot],
            together[:, slot],
            atol=2e-5,
            rtol=0,
        )


def test_attention_implementations_agree():
    tokens = prompter()(PATHS, None, next(orders(1)))
    reference = scorer(attention="eager")(tokens)
    for attention in ("blocks", "sdpa"):
        torch.testing.assert_close(
            scorer(attention=attention)(tokens), reference, atol=2e-5, rtol=0
        )


@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_empty_slots_score_zero_and_filled_ones_do_not(readout):
    tokens = prompter(readout)(PATHS, None, next(orders(1)))
    scores = scorer(readout=readout)(tokens)
    assert scores.dtype == torch.float32
    assert scores.shape == PATHS.candidate_items.shape
    assert torch.equal(scores == 0, PATHS.candidate_items < 0)


@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_padding_changes_nothing(readout):
    make, model = prompter(readout), scorer(readout=readout)
    order = next(orders(1))
    together = model(make(PATHS, None, order))
    for row in range(3):
        single = PATHS.select(PATHS.sample == row)
        alone = model(make(one_prompt(single, row), None, order[row : row + 1]))
        torch.testing.assert_close(alone[0], together[row], atol=2e-5, rtol=0)


def test_letters_of_unequal_prompts_need_no_mask(monkeypatch):
    """Without one torch takes its fast causal kernel; at 1,950 tokens a step takes .6 of the time."""
    torch_attention = torch.nn.functional.scaled_dot_product_attention
    asked = []

    def attention(*args, attn_mask=None, is_causal=False, **more):
        asked.append((attn_mask, is_causal))
        return torch_attention(*args, attn_mask=attn_mask, is_causal=is_causal, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
    tokens = prompter("letters")(PATHS, None, next(orders(1)))
    assert len(set(tokens.lengths.tolist())) > 1
    scorer(readout="letters", attention="sdpa")(tokens)
    assert asked
    assert set(asked) == {(None, True)}


def one_prompt(paths, row):
    names = ("user", "history_items", "candidate_items", "history_rating", "history_time")
    names = (*names, "history_age", "time", "prior")
    cut = {name: getattr(paths, name)[row : row + 1] for name in names}
    return replace(paths, sample=torch.zeros_like(paths.sample), **cut)


@pytest.mark.parametrize("target", ["all-linear", "q_proj,v_proj,lm_head"])
def test_letters_are_the_heads_logits_at_the_answer(target):
    tokens = prompter("letters")(PATHS, None, next(orders(1)))
    model = scorer(readout="letters", lora_targets=target, attention="eager")
    scores = model(tokens)
    mask = torch.where(tokens.block >= 0, 1, 0)
    logits = model.model(input_ids=tokens.input_ids, attention_mask=mask).logits
    for row, slot in (PATHS.candidate_items >= 0).nonzero().tolist():
        expected = logits[row, tokens.read[row, slot], tokens.letter[row, slot]]
        torch.testing.assert_close(scores[row, slot], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_no_logits_over_the_vocabulary(readout):
    model = scorer(readout=readout)
    called = []
    head = model.model.get_base_model().get_output_embeddings()
    head.register_forward_hook(lambda *args: called.append(1))
    tokens = prompter(readout)(PATHS, None, next(orders(1)))
    model(tokens).sum().backward()
    assert not called


@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_every_trained_parameter_learns_from_one_step(readout):
    model = scorer(readout=readout)
    tokens = prompter(readout)(PATHS, None, next(orders(1)))
    scores = model(tokens)
    torch.nn.functional.cross_entropy(scores[:1], torch.tensor([1])).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name
        else:
            assert parameter.grad is None, name


def test_gradient_checkpointing_gives_the_same_gradients():
    tokens = prompter()(PATHS, None, next(orders(1)))
    results = []
    for checkpointing in (False, True):
        model = scorer(gradient_checkpointing=checkpointing).train()
        salience = torch.zeros(len(PATHS), requires_grad=True)
        (model(tokens, tokens.bundle_salience(salience)) ** 2).sum().backward()
        gradients = [p.grad for p in model.parameters() if p.requires_grad]
        results.append([salience.grad, *gradients])
    for plain, checkpointed in zip(*results, strict=True):
        torch.testing.assert_close(plain, checkpointed)


def test_the_seed_decides_the_start():
    one, same, other = (
        [p.detach() for p in LMScorer(tiny_llama(9), LLMConfig(), seed=s).parameters()]
        for s in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_building_leaves_the_global_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    LMScorer(tiny_llama(9), LLMConfig(), seed=5)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("readout", ["candidates", "letters"])
def test_save_and_load_are_bit_equal(readout, tmp_path):
    tokens = prompter(readout)(PATHS, None, next(orders(1)))
    model = scorer(readout=readout)
    if readout == "candidates":
        torch.nn.init.normal_(model.readout.head.weight)
    model.save(tmp_path / "lm")
    other = scorer(stir=False, readout=readout)
    assert not torch.equal(other(tokens), model(tokens))
    other.load(tmp_path / "lm")
    assert torch.equal(other(tokens), model(tokens))
    names = {p.name for p in (tmp_path / "lm").iterdir()}
    expected = {"adapter_model.safetensors", "adapter_config.json"}
    assert names == expected | ({"readout.safetensors"} if readout == "candidates" else set())


def test_sliding_windows_are_refused_for_candidates_only():
    size = {"vocab_size": len(TOKENIZER), "hidden_size": 32, "intermediate_size": 32}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    mistral = MistralForCausalLM(MistralConfig(**size, **heads, sliding_window=8))
    with pytest.raises(ModelError, match=r"full attention in every layer.*mistral.*letters"):
        LMScorer(mistral, LLMConfig())
    LMScorer(mistral, LLMConfig(readout="letters"))
    plain = MistralForCausalLM(MistralConfig(**size, **heads, sliding_window=None))
    LMScorer(plain, LLMConfig())
    mixed = LlamaConfig()
    mixed.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(ModelError, match="sliding_attention"):
        refuse_sliding_windows(mixed, "candidates")
