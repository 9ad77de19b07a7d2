import numpy as np
import pytest
from scipy.optimize import check_grad

from lkgrag.retrieval.fusion import losses
from lkgrag.retrieval.fusion.losses import PoolLosses


def drawn(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 9, rng.integers(1, 7))
    start = np.cumsum(size) - size
    systems = int(rng.integers(1, 5))
    pools = PoolLosses(
        rng.normal(-5, 3, (size.sum(), systems)).astype(np.float32),
        rng.random(size.sum()),
        rng.random(len(size)),
        start,
        start + rng.integers(0, size),
    )
    return pools, rng.random((systems, 4)), size


def by_definition(pools, table, size):
    out = []
    for pool, first in enumerate(pools.start):
        long, scores = pools.maturity[pool], []
        for row in range(first, first + size[pool]):
            common = pools.commonness[row]
            shares = np.outer([1 - common, common], [1 - long, long]).ravel()
            scores.append(sum(f * (w @ shares) for f, w in zip(pools.features[row], table)))
        chance = np.exp(scores) / np.exp(scores).sum()
        out.append(-np.log(chance[pools.target[pool] - first]))
    return np.array(out)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_losses_and_gradient_are_those_of_the_definition(seed, compiled, monkeypatch):
    monkeypatch.setattr(losses, "JIT", compiled)
    pools, table, size = drawn(seed)
    np.testing.assert_allclose(pools(table)[0], by_definition(pools, table, size), rtol=1e-9)
    error = check_grad(
        lambda w: pools(w.reshape(table.shape))[0].sum(),
        lambda w: pools(w.reshape(table.shape))[1].ravel(),
        table.ravel(),
    )
    assert error < 1e-4 * max(1.0, np.abs(pools(table)[1]).max())


@pytest.mark.parametrize("compiled", [True, False])
def test_scores_of_any_size_do_not_overflow(compiled, monkeypatch):
    monkeypatch.setattr(losses, "JIT", compiled)
    features = np.array([[3e4], [-3e4], [2e4]], np.float32)
    pools = PoolLosses(features, np.zeros(3), np.zeros(1), np.array([0]), np.array([2]))
    value, slope = pools(np.ones((1, 4)))
    assert value.tolist() == [1e4]
    assert slope[0].tolist() == [1e4, 0, 0, 0]
