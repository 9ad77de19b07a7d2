import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from lkgrag.llm.block_attention import BlockLayout, block_attention, register


def tiny(attention):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation=attention,
    )
    return LlamaModel(config)


#: Prefixes and candidates of unlike lengths, an absent candidate and padding on the right.
BLOCK = torch.tensor(
    [
        [0, 0, 0, 0, 2, 2, 2, 1, 3, 3, -1, -1],
        [0, 0, 1, 1, 1, 1, 3, 3, 2, 2, 2, 2],
        [0, 0, 0, 2, -1, -1, -1, -1, -1, -1, -1, -1],
    ]
)


def position_of(block):
    out = torch.zeros_like(block)
    for row in range(len(block)):
        prefix = int((block[row] == 0).sum())
        for number in set(block[row].tolist()):
            here = (block[row] == number).nonzero().flatten()
            out[row, here] = torch.arange(len(here)) + (0 if number == 0 else prefix)
    return out


def dense_mask(block):
    place = torch.arange(block.shape[1])
    same = (block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None])
    allowed = same & (place[:, None] >= place) & (block[:, None, :] >= 0)
    # A padded row must attend to something, or it is NaN.
    allowed |= torch.eye(len(place), dtype=torch.bool)
    return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)[:, None]


def test_equals_the_dense_mask_forward_and_backward():
    ids = torch.randint(0, 50, BLOCK.shape, generator=torch.Generator().manual_seed(1))
    positions = position_of(BLOCK)
    grads, hidden = [], []
    for name in ("eager", register()):
        model = tiny(name)
        extra = {}
        if name == "eager":
            extra["attention_mask"] = dense_mask(BLOCK)
        else:
            mask = dense_mask(BLOCK)
            extra |= {"attention_mask": mask, "layout": BlockLayout.of(BLOCK, torch.float32)}
        out = model(input_ids=ids, position_ids=positions, use_cache=False, **extra)
        real = out.last_hidden_state[BLOCK >= 0]
        (real * torch.linspace(-1, 1, real.numel()).view_as(real)).sum().backward()
        hidden.append(real.detach())
        grads.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(hidden[0], hidden[1], atol=2e-5, rtol=1e-5)
    for dense, blocks in zip(*grads, strict=True):
        torch.testing.assert_close(dense, blocks, atol=1e-4, rtol=1e-4)


def test_a_layout_must_be_one():
    with pytest.raises(ValueError, match="prefix"):
        BlockLayout.of(torch.tensor([[1, 0]]), torch.float32)
    with pytest.raises(ValueError, match="contiguous"):
        BlockLayout.of(torch.tensor([[0, 1, 2, 1]]), torch.float32)
    with pytest.raises(ValueError, match="layout"):
        block_attention(None, *[torch.zeros(1, 1, 1, 1)] * 3, None)
