import numpy as np
import pytest

from lkgrag.utils.gains import discounted_gain, hit_gain, reciprocal_gain

NEVER = np.iinfo(np.int64).max
RANKS = np.array([[1, 2, 3], [10, 0, NEVER]])


def test_gains_by_hand():
    np.testing.assert_array_equal(reciprocal_gain(RANKS)[0], [1, 1 / 2, 1 / 3])
    np.testing.assert_array_equal(discounted_gain(RANKS, 3)[0], [1, 1 / np.log2(3), 1 / 2])
    np.testing.assert_array_equal(hit_gain(RANKS, 2), [[1, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "gain", [reciprocal_gain, lambda r: discounted_gain(r, 10), lambda r: hit_gain(r, 10)]
)
def test_a_missed_target_gains_nothing_and_nothing_warns(gain, recwarn):
    out = gain(RANKS)
    assert out.dtype == np.float64
    assert out.shape == RANKS.shape
    assert out[1, 1] == 0
    assert not recwarn.list


def test_the_rank_k_is_a_hit_and_the_next_is_none():
    ranks = np.array([5, 6])
    assert (discounted_gain(ranks, 5) > 0).tolist() == [True, False]
    assert hit_gain(ranks, 5).tolist() == [1, 0]
