"""Ranked lists with the target at its own rank, and scores that strictly fall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.evaluation import pessimistic_rank
from lkgrag.evaluation.ranked_lists import _best_first, place_targets, strictly_falling

ODD = [0.0, -1.0, 2.0, 2.0, 1e-30, 1e300, -1e300, np.inf, -np.inf, np.nan]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 7), st.integers(1, 9))
def test_the_target_has_its_pessimistic_rank_among_ties_and_odd_numbers(seed, number, depth):
    rng = np.random.default_rng(seed)
    items = np.stack([rng.permutation(20)[:number] for _ in range(5)])
    scores = rng.choice(ODD, items.shape)
    slot = rng.integers(-1, number, 5)
    rank = pessimistic_rank(scores, slot)
    rank = np.where(rank <= depth, rank, 0)
    target = np.where(slot >= 0, items[np.arange(5), np.maximum(slot, 0)], 99)
    found, values = place_targets(*_best_first(items, scores), target, rank, depth)
    assert found.shape == values.shape == (5, depth)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    for row in range(5):
        kept = found[row][found[row] >= 0].tolist()
        place = kept.index(target[row]) + 1 if target[row] in kept else 0
        assert place == rank[row]
        assert len(set(kept)) == len(kept)
        assert set(kept) <= set(items[row].tolist())
        others = number - (slot[row] >= 0)
        assert len(kept) == min(depth, others + (rank[row] > 0))
        assert (np.diff(values[row][: len(kept)]) < 0).all()
        assert (found[row][len(kept) :] == -1).all()


def test_scores_stay_as_they_are_where_they_fall():
    scores = np.array([[3.5, 2.25, -1.0]])
    assert strictly_falling(scores).tolist() == scores.tolist()


@pytest.mark.parametrize("value", ODD)
def test_equal_scores_fall_by_the_least_there_is(value):
    found = strictly_falling(np.full((1, 30), value))
    assert (np.diff(found) < 0).all()
    assert np.isfinite(found).all()
    if abs(value) < 100:
        assert np.ptp(found) < 1e-3
    # As a text of nine digits, too.
    texts = [np.float32(f"{v:.9g}") for v in found[0].tolist()]
    assert texts == found[0].tolist()


def test_lists_without_an_item():
    empty = np.zeros((2, 0), np.int64)
    found, values = place_targets(empty, np.zeros((2, 0)), np.array([1, 2]), np.zeros(2, int), 3)
    assert found.tolist() == [[-1] * 3] * 2
    assert values.tolist() == [[0.0] * 3] * 2
