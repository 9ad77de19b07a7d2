"""How many prompts a language model gets: by the kind of device, unless the options say."""

import pytest
import torch

from lkgrag.config.loading import load_config
from lkgrag.run.budget import ALL, DEFAULTS, choose_budget

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("dtype", "device", "kind"),
    [
        ("float32", CPU, "CPU, float32"),
        ("bfloat16", CPU, "CPU, bfloat16"),
        ("bfloat16", GPU, "GPU"),
    ],
)
def test_the_default_is_that_of_the_device(dtype, device, kind):
    assert choose_budget(load_config({"llm.dtype": dtype}), device) == DEFAULTS[kind]


def test_the_options_come_first():
    asked = {
        "llm.dtype": "float32",
        "training.max_examples": "7",
        "evaluation.max_events": "-1",
    }
    config = load_config(asked)
    budget = choose_budget(config, CPU)
    assert (budget.training, budget.ranking) == (7, ALL)
    training, evaluation = budget.apply(config.training, config.evaluation)
    assert (training.max_examples, evaluation.max_events) == (7, -1)
    assert training.lr == config.training.lr


def test_a_smaller_budget_is_for_slower_devices():
    slow, fast = DEFAULTS["CPU, float32"], DEFAULTS["CPU, bfloat16"]
    assert 0 < slow.training < fast.training
    assert 0 < slow.ranking < fast.ranking
    assert DEFAULTS["GPU"].training == ALL


def test_the_budget_is_printed():
    assert str(DEFAULTS["GPU"]) == (
        "budget on this device (GPU): every prompt of training (training.max_examples), every prompt of each "
        "split to rank (evaluation.max_events)"
    )
    assert "96 prompts of training" in str(DEFAULTS["CPU, float32"])


def test_without_a_language_model_its_dtype_is_not_asked():
    config = load_config({"llm.name": "none", "llm.dtype": "float16"})
    assert choose_budget(config, CPU) == DEFAULTS["CPU, float32"]
