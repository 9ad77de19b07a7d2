import numpy as np
import pytest
import torch

from lkgrag.retrieval.lrurec.network import RECURRENCE, Dropout, LRURec
from lkgrag.retrieval.lrurec.scan import linear_scan


def sequential(u, decay):
    h, out = torch.zeros_like(u[0]), []
    for step in u:
        h = decay * h + step
        out.append(h)
    return torch.stack(out)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 9, 10, 16, 17, 50])
def test_scan_equals_the_recurrence_with_gradients(steps):
    torch.manual_seed(steps)
    u = torch.randn(steps, 3, 4, dtype=torch.complex128, requires_grad=True)
    decay = torch.polar(torch.rand(4, dtype=torch.float64), torch.randn(4, dtype=torch.float64))
    decay.requires_grad_()
    weight = torch.randn(steps, 3, 4, dtype=torch.complex128)
    grads = []
    for scan in (sequential, linear_scan):
        out = scan(u, decay)
        loss = (out * weight).real.sum()
        grads.append((out, *torch.autograd.grad(loss, (u, decay))))
    for expected, got in zip(*grads, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_scan_without_gradients_equals_the_recurrence(steps):
    torch.manual_seed(steps)
    u = torch.randn(steps, 3, 4, dtype=torch.complex64)
    decay = torch.polar(torch.rand(4), torch.randn(4))
    before = u.clone()
    with torch.no_grad():
        torch.testing.assert_close(linear_scan(u, decay), sequential(u, decay))
        # As after a step back in time, and of a part of another tensor.
        torch.testing.assert_close(
            linear_scan(u.conj()[:, ::2], decay.conj()), sequential(u.conj()[:, ::2], decay.conj())
        )
    assert torch.equal(u, before)


def test_scan_gradients_numerically():
    torch.manual_seed(0)
    u = torch.randn(7, 2, 3, dtype=torch.complex128, requires_grad=True)
    decay = (0.9 * torch.randn(3, dtype=torch.complex128)).requires_grad_()
    assert torch.autograd.gradcheck(linear_scan, (u, decay))


def model(dropout=0.0):
    torch.manual_seed(0)
    return LRURec(num_items=12, width=8, blocks=2, dropout=dropout)


def test_the_future_does_not_change_the_past():
    net = model().eval()
    items = torch.randint(0, 12, (20, 4))
    changed = items.clone()
    changed[13:] = (changed[13:] + 5) % 12
    before, after = net.encode(items), net.encode(changed)
    torch.testing.assert_close(before[:13], after[:13], rtol=0, atol=1e-6)
    assert (before[13:] - after[13:]).abs().max() > 1e-3


def test_the_past_reaches_the_present():
    net = model().eval()
    items = torch.randint(0, 12, (6, 1))
    changed = items.clone()
    changed[0] = (changed[0] + 1) % 12
    assert (net.encode(items)[-1] - net.encode(changed)[-1]).abs().max() > 1e-5


def test_every_decay_lies_inside_the_unit_circle():
    for layer in model().layers:
        modulus = layer[0].decay().abs()
        assert ((modulus > 0.79) & (modulus < 1.0)).all()


def test_recurrence_norms_and_biases_are_not_decayed():
    net = model()
    decayed, free = net.parameter_groups(0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert len(decayed["params"]) + len(free["params"]) == len(list(net.parameters()))
    ids = {id(p) for p in free["params"]}
    for name, parameter in net.named_parameters():
        recurrent = name.rsplit(".", 1)[-1] in RECURRENCE
        assert (id(parameter) in ids) == (recurrent or parameter.dim() < 2), name


def test_every_parameter_learns():
    net = model()
    items = torch.randint(0, 12, (6, 3))
    torch.nn.functional.cross_entropy(
        net.logits(net.encode(items)).flatten(0, 1), items.flatten()
    ).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_dropout_keeps_the_mean_and_drops_its_share():
    torch.manual_seed(0)
    layer = Dropout(0.25)
    x = torch.ones(1000, 101)
    out = layer.train()(x)
    assert abs(float((out == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(out.mean()) - 1.0) < 0.01
    # Neighbouring bytes of one draw must be independent.
    zero = (out == 0).float()
    assert abs(float((zero[:, 1:] * zero[:, :-1]).mean()) - 0.0625) < 0.01
    assert layer.eval()(x) is x
    assert np.isclose(float(Dropout(0.0).train()(x).mean()), 1.0)


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_the_last_state_is_that_of_the_whole_pass(blocks):
    torch.manual_seed(blocks)
    network = LRURec(20, 8, blocks, 0.1).eval()
    items, place = torch.randint(0, 20, (9, 3)), torch.tensor([8, 0, 4])
    expected = network.encode(items)[place, torch.arange(3)]
    torch.testing.assert_close(network.encode_last(items, place), expected)
    with torch.no_grad():
        torch.testing.assert_close(network.encode_last(items, place), expected)
