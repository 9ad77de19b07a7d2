"""The compiled pooling of paths, against that by torch."""

import pytest
import torch

from lkgrag.scorer import pooling
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.testing import toy_kg, toy_paths


@pytest.fixture(scope="module")
def data():
    return toy_kg()


def scorer_of(data, paths):
    """A scorer all of whose parts count."""
    torch.manual_seed(3)
    num_nodes = {t: data[t].num_nodes for t in data.node_types}
    scorer = MetapathAttention(data.metadata(), num_nodes, paths.metapaths).eval()
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return scorer


def both(scorer, data, paths, monkeypatch):
    """What training computes, and what serving does."""
    trained = scorer(data, paths)
    monkeypatch.setattr(pooling, "_pool_by_torch", lambda *_: pytest.fail("torch pools"))
    with torch.no_grad():
        served = scorer(data, paths)
    return trained, served


@pytest.mark.skipif(not pooling.JIT, reason="numba is not available")
@pytest.mark.parametrize("seed", [0, 1])
def test_serving_gives_the_scores_of_training(data, seed, monkeypatch):
    paths = toy_paths(seed=seed, data=data)
    trained, served = both(scorer_of(data, paths), data, paths, monkeypatch)
    assert len(paths) > 20
    torch.testing.assert_close(served, trained, rtol=1e-5, atol=1e-5)
    assert trained.candidate.requires_grad
    assert not served.candidate.requires_grad


@pytest.mark.skipif(not pooling.JIT, reason="numba is not available")
def test_candidates_without_paths_and_extreme_energies(data, monkeypatch):
    paths = toy_paths(data=data)
    paths = paths.select(paths.candidate != 1)
    scorer = scorer_of(data, paths)
    with torch.no_grad():
        scorer.base.mul_(40)
    trained, served = both(scorer, data, paths, monkeypatch)
    assert served.salience.isfinite().all()
    assert served.salience.max() > pooling.HIGHEST
    torch.testing.assert_close(served, trained, rtol=1e-4, atol=1e-3)
    assert (served.candidate[:, 1] == 0).all()


def test_mixed_precision_is_pooled_by_torch(data, monkeypatch):
    paths = toy_paths(data=data)
    scorer = scorer_of(data, paths)
    monkeypatch.setattr(pooling, "_pool_compiled", lambda *_: pytest.fail("compiled"))
    with torch.autocast("cpu", torch.bfloat16):
        trained = scorer(data, paths)
        with torch.no_grad():
            torch.testing.assert_close(scorer(data, paths), trained, rtol=1e-2, atol=1e-2)
