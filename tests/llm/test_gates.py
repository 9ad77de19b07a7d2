import pytest
import torch

from lkgrag.config import LLMConfig, PromptConfig
from lkgrag.llm import LMScorer
from lkgrag.llm.gates import gate
from lkgrag.prompt import Prompter
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
TOKENIZER = tiny_tokenizer()
TOKENS = Prompter(TOKENIZER, DATA, PromptConfig()).fit([PATHS])(
    PATHS, None, torch.arange(4).repeat(3, 1)
)


def test_is_the_identity_forward_and_a_product_backward():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 3, 4, generator=generator, requires_grad=True)
    salience = torch.tensor([0.3, -7.1], requires_grad=True)
    bundle = torch.tensor([[0, 0, -1], [1, -1, 0]])
    upstream = torch.randn(2, 3, 4, generator=generator)

    out = gate(hidden, salience, bundle)
    assert torch.equal(out, hidden)
    out.backward(upstream)
    ours = hidden.grad.clone(), salience.grad.clone()

    hidden.grad = salience.grad = None
    factor = 1 + (salience - salience.detach())
    factor = torch.where(bundle >= 0, factor[bundle.clamp(min=0)], 1.0)
    (hidden * factor[..., None]).backward(upstream)
    torch.testing.assert_close(ours, (hidden.grad, salience.grad))


@pytest.mark.parametrize("position", ["layer", "embeddings"])
@pytest.mark.parametrize("layers", [-1, 1])
def test_scores_are_bit_equal_and_the_gradient_reaches_every_worded_path(position, layers):
    model = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(gate=position, lora_layers=layers))
    off = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(gate="off", lora_layers=layers))
    salience = torch.linspace(-2, 3, len(PATHS)).requires_grad_()
    scores = model(TOKENS, TOKENS.bundle_salience(salience))
    assert torch.equal(scores, off(TOKENS, TOKENS.bundle_salience(salience)))
    scores[0].square().sum().backward()
    assert torch.isfinite(salience.grad).all()
    in_first = torch.zeros(len(PATHS), dtype=torch.bool)
    in_first[TOKENS.bundle_path] = TOKENS.worded[TOKENS.bundle_id, 0] == 0
    # The softmax over a bundle's paths shares its gradient out among them.
    size = salience.grad[in_first].abs()
    assert bool((size > 1e-4 * size.max()).all())
    assert bool((salience.grad[~in_first] == 0).all())
    assert in_first.any()
    assert not in_first.all()


@pytest.mark.parametrize("readout", ["candidates", "letters"])
@pytest.mark.parametrize("position", ["layer", "embeddings"])
def test_the_gates_of_one_adapted_layer_get_gradients_as_large_as_those_of_all(readout, position):
    tokens = Prompter(TOKENIZER, DATA, PromptConfig(), readout).fit([PATHS])(
        PATHS, None, torch.arange(4).repeat(3, 1)
    )
    sizes = []
    for layers in (1, -1):
        config = LLMConfig(gate=position, lora_layers=layers, readout=readout)
        model = LMScorer(tiny_llama(len(TOKENIZER)), config)
        salience = torch.zeros(tokens.num_bundles, requires_grad=True)
        model(tokens, salience).square().sum().backward()
        sizes.append(salience.grad.abs())
    # Bundles whose last token is not read, too.
    assert bool((sizes[0] > 0.1 * sizes[1]).all())
    assert bool((sizes[0] > 1e-5).all())


def test_off_gives_no_gradient():
    model = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(gate="off"))
    salience = torch.zeros(len(PATHS), requires_grad=True)
    model(TOKENS, TOKENS.bundle_salience(salience)).sum().backward()
    assert salience.grad is None


def test_two_forward_passes_before_a_backward_pass_do_not_mix():
    model = LMScorer(tiny_llama(len(TOKENIZER)), LLMConfig(gradient_checkpointing=True)).train()
    gradients = []
    for extra in (False, True):
        salience = torch.zeros(len(PATHS), requires_grad=True)
        scores = model(TOKENS, TOKENS.bundle_salience(salience))
        if extra:
            model(TOKENS, torch.ones(TOKENS.num_bundles, requires_grad=True))
        scores.square().sum().backward()
        gradients.append(salience.grad)
    assert torch.equal(*gradients)


def test_a_salience_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        gate(torch.zeros(1, 1, 1), torch.tensor([torch.nan]), torch.zeros(1, 1).long())
