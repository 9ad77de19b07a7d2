"""Whitened vectors have equal spread along every axis."""

import numpy as np
import pytest
import torch

from lkgrag.errors import LkgragError
from lkgrag.text import Whitening


def vectors(items=400, width=24, rank=None, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inner = rank or width
    spread = torch.logspace(1, -2, inner)
    x = torch.randn(items, inner, generator=draw) * spread
    return x @ torch.randn(inner, width, generator=draw) + 50


def test_whitened_vectors_are_uncorrelated():
    x = vectors()
    fit = Whitening.fit(x)
    white = (x - fit.mean) @ fit.axes / fit.deviations
    np.testing.assert_allclose(white.T @ white / len(x), np.eye(24), atol=1e-2)
    applied = fit.apply(x)
    np.testing.assert_allclose(applied, torch.nn.functional.normalize(white), atol=1e-5)
    np.testing.assert_allclose(applied.norm(dim=1), 1, atol=1e-5)


def test_the_axes_are_the_first_principal_ones():
    x = vectors()
    fit = Whitening.fit(x, axes=5)
    assert fit.axes.shape == (24, 5)
    centred = (x - x.mean(0)).double()
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(fit.deviations, values[:5] / len(x) ** 0.5, rtol=1e-3)
    agreement = (axes[:5] @ fit.axes.double()).abs().diagonal()
    np.testing.assert_allclose(agreement, 1, atol=1e-3)
    assert (fit.axes.gather(0, fit.axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_the_rank_limits_the_axes():
    assert Whitening.fit(vectors(rank=7)).axes.shape == (24, 7)
    assert Whitening.fit(vectors(items=5)).axes.shape == (24, 4)
    assert Whitening.fit(torch.randn(900, 256)).axes.shape == (256, 192)


def test_zero_rows_stay_zero_and_do_not_count():
    x = vectors()
    some = torch.cat([x, torch.zeros(100, 24)])
    fit = Whitening.fit(some)
    torch.testing.assert_close(fit.mean, Whitening.fit(x).mean)
    assert not fit.apply(some)[400:].any()
    assert fit.apply(some)[:400].any(1).all()


@pytest.mark.parametrize("x", [torch.full((9, 4), 3.0), torch.zeros(9, 4), torch.zeros(0, 4)])
def test_a_catalogue_without_differences_has_no_axes(x):
    fit = Whitening.fit(x)
    assert fit.axes.shape == (4, 0)
    assert fit.apply(x).shape == (len(x), 0)


def test_it_does_not_depend_on_the_order_of_items():
    x = vectors()
    one, two = Whitening.fit(x), Whitening.fit(x.flip(0))
    new = vectors(items=3, seed=1)
    torch.testing.assert_close(one.apply(new), two.apply(new), atol=1e-3, rtol=1e-3)


def test_tensors_and_back():
    x = vectors()
    fit = Whitening.fit(x, axes=3)
    again = Whitening.from_tensors(fit.tensors())
    torch.testing.assert_close(again.apply(x), fit.apply(x), atol=0, rtol=0)
    with pytest.raises(LkgragError, match="'axes' is missing"):
        Whitening.from_tensors({"mean": fit.mean})


def test_vectors_of_another_encoder_are_refused():
    with pytest.raises(LkgragError, match="vectors of 5 numbers, but the catalogue's have 24"):
        Whitening.fit(vectors()).apply(torch.zeros(1, 5))
