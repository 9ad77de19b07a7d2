import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from lkgrag.llm.fused_lora import fuse_lora


def build(dropout=0.0, bias=False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6, bias=bias), nn.Tanh(), nn.Linear(6, 5, bias=bias))
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["0", "2"], lora_dropout=dropout)
    model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    return model


def test_equals_peft_forward_and_backward():
    x = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1))
    results = []
    for fused in (False, True):
        model = build()
        if fused:
            assert fuse_lora(model) == 2
        inputs = x.clone().requires_grad_()
        out = model(inputs)
        (out**2).sum().backward()
        grads = [p.grad for p in model.parameters() if p.requires_grad]
        results.append([out, inputs.grad, *grads])
    for stock, ours in zip(*results, strict=True):
        torch.testing.assert_close(stock, ours)


@pytest.mark.parametrize("options", [{"dropout": 0.1}, {"bias": True}])
def test_layers_that_are_not_plain_keep_pefts_own(options):
    assert fuse_lora(build(**options)) == 0


def test_disabling_the_adapter_gives_the_base():
    model = build()
    x = torch.randn(2, 8)
    with model.disable_adapter():
        base = model(x)
    fuse_lora(model)
    with model.disable_adapter():
        assert torch.equal(base, model(x))
    assert not torch.equal(base, model(x))


def test_mixed_precision_is_pefts_own():
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    found = []
    for fused in (False, True):
        model = build()
        if fused:
            fuse_lora(model)
        with torch.autocast("cpu", torch.bfloat16):
            out = model(x)
        out.float().sum().backward()
        found.append([out, *(p.grad for p in model.parameters() if p.requires_grad)])
    for stock, ours in zip(*found, strict=True):
        assert torch.equal(stock, ours)
