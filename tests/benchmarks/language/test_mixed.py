"""Weights of items without interactions."""

import numpy as np
import pytest

from benchmarks.language.rules import Rule, fit_new
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.fusion.pools import Pools
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.popularity import PopularityRetriever


def _pools(events=4000, of_new=0.75):
    """Two items each, one of them new; all evidence is equal."""
    start = 2 * np.arange(events)
    chosen = (np.arange(events) >= of_new * events).astype(np.int64)
    return Pools(
        ["popularity"],
        np.full((2 * events, 1), -2.0, np.float32),
        np.tile([0, 5], events),
        start,
        start + chosen,
        np.full(events, 4),
        np.arange(events),
    )


def test_the_constant_is_the_odds_of_new_items():
    corners = CornerWeights.constant({"popularity": 0.5})
    rule = fit_new(_pools(), corners, ridge=1e6)
    assert rule.new[0] == pytest.approx(0.5, abs=1e-2)
    assert rule.new[1] == pytest.approx(np.log(3), abs=3e-2)
    assert rule.corners == corners


def test_a_rule_changes_new_items_only():
    popularity = PopularityRetriever(np.array([0, 3, 1, 0]))
    fused = FusedRetriever({"popularity": popularity})
    corners = CornerWeights.constant({"popularity": 0.5})
    histories = [np.array([1]), np.array([2, 1])]
    features = fused.features(histories)
    before = Rule(corners)(fused, features, histories)
    after = Rule(corners, np.array([2.0, 7.0]))(fused, features, histories)
    assert after[:, [1, 2]].tolist() == before[:, [1, 2]].tolist()
    wanted = 2.0 * features["popularity"][:, [0, 3]] + 7.0
    np.testing.assert_allclose(after[:, [0, 3]], wanted, rtol=1e-6)
