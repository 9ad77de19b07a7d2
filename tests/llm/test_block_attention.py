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
            layout = extra["layout"] = BlockLayout.of(BLOCK, torch.float32)
        packed = name != "eager"
        tokens, places = (layout.pack(x) if packed else x for x in (ids, positions))
        out = model(input_ids=tokens, position_ids=places, use_cache=False, **extra)
        states = layout.unpack(out.last_hidden_state) if packed else out.last_hidden_state
        assert states.shape == (*BLOCK.shape, 32)
        real = states[BLOCK >= 0]
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


def test_the_row_has_no_padding():
    layout = BlockLayout.of(BLOCK, torch.float32)
    row = layout.pack(BLOCK)
    assert row.shape == (1, int((BLOCK >= 0).sum()))
    assert (row >= 0).all()
    states = layout.unpack(row[0, :, None].float()[None] + 1.0)
    assert torch.equal(states.squeeze(-1), torch.where(BLOCK >= 0, BLOCK + 1.0, 0.0))


def test_prompts_without_a_candidate():
    block = torch.tensor([[0, 0, 0], [0, 0, -1]])
    layout = BlockLayout.of(block, torch.float32)
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 5, 4) for _ in range(3))
    out, _ = block_attention(None, query, key, value, None, layout=layout)
    alone = torch.nn.functional.scaled_dot_product_attention(
        query[:, :, 3:], key[:, :, 3:], value[:, :, 3:], is_causal=True
    )
    torch.testing.assert_close(out[:, 3:], alone.transpose(1, 2))
