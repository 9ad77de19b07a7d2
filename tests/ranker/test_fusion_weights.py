"""Weights of terms that a configuration leaves out."""

import numpy as np

from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.fusion_weights import TermLists, fit_weights


def test_fusion_without_terms():
    fusion = Fusion(2.0, 3.0, terms=["prior"])
    assert (fusion.a.item(), round(fusion.b.item(), 4)) == (0.0, 3.0)
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(3, 60, 5))
    mask, target, user = np.ones((60, 5), bool), rng.integers(0, 5, 60), np.arange(60)
    terms[1, np.arange(60), target] += 3
    lists = TermLists(terms, mask, target, user)
    assert fit_weights(lists, fuse=[]).chosen == (1.0, 0.0, 0.0)
    for weights in (
        fit_weights(lists, fuse=["scorer"]).with_lm,
        fit_weights(lists, fuse=["scorer"]).without_lm,
    ):
        assert weights.scorer > 0
        assert weights.prior == 0
    assert fit_weights(lists, fuse=["prior"]).with_lm.scorer == 0
