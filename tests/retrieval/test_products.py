"""Products of history weights with matrices, against scipy's."""

import numpy as np
import pytest
from scipy import sparse

from lkgrag.retrieval import products
from lkgrag.retrieval.base import log_shares
from lkgrag.retrieval.products import NEGLIGIBLE, HistoryWeights

ITEMS, VALUES = 30, 11


@pytest.fixture(params=[True, False], ids=["compiled", "scipy"], autouse=True)
def form(request, monkeypatch):
    if request.param and not products.JIT:
        pytest.skip("numba is not available")
    monkeypatch.setattr(products, "JIT", request.param)


def histories():
    """Histories of several lengths; the third one has items twice."""
    rng = np.random.default_rng(0)
    return [rng.permutation(ITEMS)[:n] for n in (7, 0, 20)] + [np.array([3, 5, 3, 3, 9])]


def by_hand(decay):
    out = np.zeros((4, ITEMS))
    for row, history in enumerate(histories()):
        for age, item in enumerate(history[::-1]):
            out[row, item] += decay**age
    return out


def matrix(rows, columns, seed):
    return sparse.random_array(
        (rows, columns), density=0.3, format="csr", dtype=np.float32, rng=seed
    )


@pytest.mark.parametrize("decay", [0.8, 1.0])
def test_weights_by_hand(decay):
    weights = HistoryWeights.of(histories(), decay, ITEMS)
    np.testing.assert_allclose(weights.matrix().toarray(), by_hand(decay), rtol=1e-6)
    assert weights.matrix().has_canonical_format
    assert weights.weight.dtype == np.float32
    once = weights.even().matrix().toarray()
    assert np.array_equal(once, by_hand(decay) > 0)


def test_products_have_scipys_bits():
    weights = HistoryWeights.of(histories(), 0.8, ITEMS)
    one, out, back = matrix(ITEMS, ITEMS, 1), matrix(ITEMS, VALUES, 2), matrix(VALUES, ITEMS, 3)
    assert np.array_equal(weights.times([one]), (weights.matrix() @ one).toarray())
    chain = weights.matrix() @ out @ back
    assert np.array_equal(weights.times([out, back]), chain.toarray())
    dense = np.random.default_rng(4).normal(size=(ITEMS, 9)).astype(np.float32)
    assert np.array_equal(weights.times_dense(dense), weights.matrix() @ dense)


def test_a_product_is_written_into_a_block():
    weights, one = HistoryWeights.of(histories(), 1.0, ITEMS), matrix(ITEMS, ITEMS, 1)
    block = np.zeros((2, 4, ITEMS), np.float32)
    weights.add_times([one], block[1])
    assert not block[0].any()
    assert np.array_equal(block[1], weights.times([one]))


def test_no_history_and_empty_ones():
    assert HistoryWeights.of([], 0.8, ITEMS).times([matrix(ITEMS, ITEMS, 1)]).shape == (0, ITEMS)
    empty = HistoryWeights.of([np.zeros(0, np.int64)], 0.8, ITEMS)
    assert not empty.times([matrix(ITEMS, ITEMS, 1)]).any()


def test_what_no_float_can_hold_is_left_out():
    long = np.arange(1000)
    weights = HistoryWeights.of([long], 0.8, 1000)
    assert len(weights.item) < 130
    assert weights.weight.min() < 2 * NEGLIGIBLE
    assert np.array_equal(np.sort(weights.item), long[-len(weights.item) :])
    # With it, the shares would have the same bits.
    whole = np.float32(0.8 ** np.arange(1000)[::-1])
    assert np.array_equal(log_shares(weights.matrix().toarray()), log_shares(whole[None]))
    assert len(HistoryWeights.of([long], 1.0, 1000).item) == 1000


@pytest.mark.parametrize("item", [-1, ITEMS])
def test_an_item_beyond_the_catalogue_is_refused(item):
    with pytest.raises(ValueError, match=rf"must lie in \[0, {ITEMS}\)"):
        HistoryWeights.of([np.array([2, item])], 0.8, ITEMS)


def test_the_weights_of_one_history_are_those_among_others():
    one, other = np.array([3, 1, 3, 0]), np.array([2, 2])
    for decay in (1.0, 0.8):
        alone = HistoryWeights.of([one], decay, 5)
        # Asked again, and in another type.
        again = HistoryWeights.of([one.astype(np.int32)], decay, 5)
        both = HistoryWeights.of([one, other], decay, 5).matrix().toarray()
        for found in (alone, again):
            assert np.array_equal(found.matrix().toarray()[0], both[0])
    with pytest.raises(ValueError, match="must lie in"):
        HistoryWeights.of([np.array([7])], 0.8, 5)
