"""The published LRURec of the benchmark computes the recurrence that ours computes."""

import torch

from benchmarks.speed.lru import Doubling, Published


def test_doubling_is_the_recurrence():
    torch.manual_seed(0)
    layer = Doubling(4, 6, 8, 0.0).eval()
    x = torch.randn(2, 8, 4)
    mask = torch.ones(2, 8)
    mask[1, :3] = 0.0
    decay = torch.polar(torch.exp(-torch.exp(layer.nu)), torch.exp(layer.theta))
    u = layer.into(x.to(torch.cfloat)) * torch.exp(layer.gamma)
    for row, first in ((0, 0), (1, 3)):
        h = torch.zeros(6, dtype=torch.cfloat)
        for t in range(first, 8):
            h = u[row, t] + decay * h
        y = layer.norms[0](x[row, 7] + layer.out(h).real)
        want = layer.norms[1](y + layer.down(torch.nn.functional.gelu(layer.up(y))))
        assert torch.allclose(layer(x, mask)[row, 7], want, atol=1e-5)


def test_padding_on_the_left_changes_no_logit():
    torch.manual_seed(0)
    model = Published(10, 4, 2, 4, 8, 0.0).eval()
    items = torch.tensor([[1, 2, 3]])
    padded = torch.tensor([[10, 10, 1, 2, 3]])
    assert torch.allclose(model(items)[:, -1], model(padded)[:, -1], atol=1e-5)
