import random

import pytest
import torch
from torch import nn

from lkgrag.errors import RunError
from lkgrag.training.checkpoint import FILE, Checkpoint


def build(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    model[0].bias.requires_grad_(False)
    return model, torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)


def steps(model, optimizer, count, start=0):
    for n in range(start, start + count):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(n))
        (model(x) ** 2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_going_on_from_a_checkpoint_is_bit_equal(tmp_path):
    whole, optimizer = build()
    steps(whole, optimizer, 6)
    first, optimizer = build()
    steps(first, optimizer, 3)
    Checkpoint(tmp_path, "key").save(first, optimizer, {"step": 3, "curve": [{"loss": 0.5}]})
    second, optimizer = build(seed=9)
    with torch.no_grad():
        second[0].bias.copy_(first[0].bias)
    state = Checkpoint(tmp_path, "key").load(second, optimizer)
    assert state["step"] == 3
    assert state["curve"] == [{"loss": 0.5}]
    steps(second, optimizer, 3, start=3)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_no_checkpoint_is_no_error_and_a_broken_one_is(tmp_path):
    model, optimizer = build()
    assert Checkpoint(tmp_path, "key").load(model, optimizer) is None
    (tmp_path / FILE).write_bytes(b"\0" * 100)
    with pytest.raises(RunError, match="broken checkpoint"):
        Checkpoint(tmp_path, "key").load(model, optimizer)
    Checkpoint(tmp_path, "key").save(model, optimizer, {"step": 1})
    other = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1), nn.Linear(1, 1))
    with pytest.raises(RunError, match="another model"):
        Checkpoint(tmp_path, "key").load(other, optimizer)


def test_every_flipped_bit_of_a_checkpoint_is_refused_or_harmless(tmp_path):
    model, optimizer = build()
    steps(model, optimizer, 2)
    Checkpoint(tmp_path, "key").save(model, optimizer, {"step": 2}, {"a": torch.ones(3)})
    path = tmp_path / FILE
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for bit in random.Random(0).sample(range(8 * len(whole)), 300):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        other, its_optimizer = build(seed=9)
        with torch.no_grad():
            other[0].bias.copy_(model[0].bias)
        try:
            state = Checkpoint(tmp_path, "key").load(other, its_optimizer)
        except RunError:
            refused += 1
            continue
        # Such as the name of the sum in the header.
        assert bit // 8 < begin
        assert state["step"] == 2
        assert torch.equal(other[1].weight, model[1].weight)
    assert refused > 280


class Counting(nn.Module):
    """A scorer that keeps more than parameters."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.again = self.norm
        self.seen = 0

    def get_extra_state(self):
        return torch.tensor(self.seen)

    def set_extra_state(self, state):
        self.seen = int(state)


class WithScorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.scorer = Counting()


def test_what_a_scorer_keeps_beside_its_parameters_comes_back(tmp_path):
    first, second = WithScorer(), WithScorer()
    first.scorer.norm(torch.randn(5, 4))
    first.scorer.seen = 7
    optimizers = [torch.optim.AdamW(m.parameters()) for m in (first, second)]
    Checkpoint(tmp_path, "key").save(first, optimizers[0], {"step": 1})
    Checkpoint(tmp_path, "key").load(second, optimizers[1])
    assert second.scorer.seen == 7
    for name, buffer in first.named_buffers():
        assert torch.equal(dict(second.named_buffers())[name], buffer), name


def test_a_checkpoint_without_such_state_is_read(tmp_path):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.scorer = nn.Linear(2, 1)

    model = Plain()
    optimizer = torch.optim.AdamW(model.parameters())
    Checkpoint(tmp_path, "key").save(model, optimizer, {"step": 4})
    assert Checkpoint(tmp_path, "key").load(model, optimizer)["step"] == 4


def test_a_checkpoint_of_other_data_or_options_is_refused(tmp_path):
    model, optimizer = build()
    Checkpoint(tmp_path, "key").save(model, optimizer, {"step": 1})
    with pytest.raises(RunError, match="belongs to other data or options; start with overwrite"):
        Checkpoint(tmp_path, "another").load(model, optimizer)
