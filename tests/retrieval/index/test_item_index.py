"""The index proposes what a score of every item proposes."""

import pickle

import numpy as np
import pytest
from helpers.indexed import fused, histories
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.retrieval.index import item_index, systems
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.retrieval.index.systems import IndexedSystems

pytest.importorskip("faiss", reason="needs the extra index")
NEAR = {"rtol": 2e-4, "atol": 2e-4}


def indexed(retriever, kind="flat", seed=0):
    return retriever.with_index(ItemIndex.build(retriever, kind, seed))


def recall(found, wanted):
    """The share of wanted items that are found."""
    pairs = [(set(f[f >= 0]), set(w[w >= 0])) for f, w in zip(found, wanted, strict=True)]
    return sum(len(f & w) for f, w in pairs) / sum(len(w) for _, w in pairs)


def is_by_index(retriever, *asked):
    """Whether no list was made by scoring every item."""
    return retriever.index.propose(*asked, retriever.mask_seen, retriever.turn)[2]


@pytest.mark.parametrize("by_count", [True, False])
@pytest.mark.parametrize(
    "left_out", [(), ("text",), ("graph_itemitem", "itemitem"), ("lrurec", "text")]
)
def test_scores_of_some_items_are_those_of_all_items(by_count, left_out):
    retriever = fused(by_count=by_count, leave_out=left_out)
    asked = histories(600, 12)[1:]
    parts = IndexedSystems(retriever, 0)
    row = np.repeat(np.arange(len(asked)), 600)
    item = np.tile(np.arange(600), len(asked))
    got = parts.score(parts.ask(asked), row, item).reshape(len(asked), 600)
    np.testing.assert_allclose(got, retriever.score(asked), **NEAR)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    k=st.sampled_from([1, 7, 20, 50]),
    by_count=st.booleans(),
    mask_seen=st.booleans(),
    share=st.sampled_from([None, 0.9, 0.75]),
)
def test_with_every_item_read_the_lists_are_exact(seed, k, by_count, mask_seen, share):
    retriever = fused(1200, seed, by_count, mask_seen)
    asked = histories(1200, 9, seed)
    drawn = np.random.default_rng(seed).random(1200)
    allowed = None if share is None else drawn < share
    wanted, scores = retriever.propose(asked, k, allowed)
    found, near = indexed(retriever).propose(asked, k, allowed)
    assert is_by_index(indexed(retriever), asked, k, allowed).all()
    np.testing.assert_allclose(near, scores, **NEAR)
    # Rounding may swap neighbours, but nothing else.
    assert recall(found, wanted) >= 1 - 1 / wanted.size
    if allowed is not None:
        assert allowed[found].all()
    if mask_seen:
        assert not any(np.isin(f, h).any() for f, h in zip(found, asked, strict=True))


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_both_kinds_find_nearly_all(kind):
    retriever = fused(4000, new_items=0.0, leave_out=("text",))
    asked, served = histories(4000, 60), indexed(retriever, kind)
    assert recall(served.propose(asked, 20)[0], retriever.propose(asked, 20)[0]) >= 0.99
    assert is_by_index(served, asked, 20, None).all()


def test_softmax_sums_are_near_where_the_sample_is_small(monkeypatch):
    monkeypatch.setattr(systems, "SAMPLED", 400)
    retriever = fused(4000)
    asked = histories(4000, 30)
    wanted, scores = retriever.propose(asked, 20)
    found, near = indexed(retriever).propose(asked, 20)
    assert recall(found, wanted) >= 0.99
    assert np.abs(near - scores).max() < 0.1
    assert np.abs(near - scores).max() > 0


@pytest.mark.parametrize("k", [600, 700, 400])
def test_long_lists_are_made_by_all_scores(k):
    retriever = fused()
    asked = histories(600, 5)
    assert not is_by_index(indexed(retriever), asked[1:], k, None).any()
    for got, wanted in zip(
        indexed(retriever).propose(asked, k), retriever.propose(asked, k), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("number", [0, 1, 15])
def test_few_allowed_items_are_all_found(number):
    retriever = fused()
    asked = histories(600, 6)
    allowed = np.zeros(600, np.bool_)
    allowed[np.random.default_rng(3).permutation(600)[:number]] = True
    wanted, scores = retriever.propose(asked, 20, allowed)
    found, near = indexed(retriever).propose(asked, 20, allowed)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(near, scores, **NEAR)


def test_an_index_that_finds_too_little_is_helped_by_all_scores():
    retriever = fused(1200)
    asked = histories(1200, 8)[1:]
    poor = ItemIndex.build(retriever, "flat", 0)
    poor.index.reset()
    poor.index.add(poor.vectors.items(0, 5))
    assert not is_by_index(retriever.with_index(poor), asked, 20, None).any()
    wanted = retriever.propose(asked, 20)[0]
    np.testing.assert_array_equal(retriever.with_index(poor).propose(asked, 20)[0], wanted)


def test_equal_items_come_in_the_order_of_ties():
    retriever = fused(1200, leave_out=("graph_itemitem", "itemitem", "text"), new_items=0.0)
    model, twins = retriever.systems["lrurec"].model, [30, 10, 20]
    retriever.popularity[twins] = 7
    retriever.systems["popularity"].count[twins] = 7
    model.embedding.weight.data[twins] = model.embedding.weight.data[5].clone()
    # The best of all for everyone.
    model.bias.data[twins] = 500.0
    served, asked = indexed(retriever), histories(1200, 20)[1:]
    asked = [h[~np.isin(h, twins)] for h in asked]
    asked = [h for h in asked if len(h)]
    np.testing.assert_array_equal(served.propose(asked, 20)[0][:, :3], [[10, 20, 30]] * len(asked))
    np.testing.assert_array_equal(
        retriever.propose(asked, 20)[0][:, :3], [[10, 20, 30]] * len(asked)
    )


def test_many_counts_are_cut_to_those_with_most_evidence(monkeypatch):
    monkeypatch.setattr(item_index, "COUNTED", 60)
    retriever = fused(1200)
    asked = histories(1200, 20)
    found = indexed(retriever).propose(asked, 20)[0]
    assert recall(found, retriever.propose(asked, 20)[0]) >= 0.99


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_equal_seeds_give_equal_lists(kind):
    retriever, asked = fused(2000, leave_out=("text",)), histories(2000, 10)
    first, second = (indexed(retriever, kind, seed=4).propose(asked, 20) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_lists_do_not_depend_on_the_company(monkeypatch):
    retriever, asked = indexed(fused(1200)), histories(1200, 10)
    whole = retriever.propose(asked, 20)[0]
    monkeypatch.setattr(item_index, "ROWS", 3)
    alone = np.concatenate([retriever.propose([h], 20)[0] for h in asked])
    np.testing.assert_array_equal(retriever.propose(asked, 20)[0], whole)
    np.testing.assert_array_equal(alone, whole)
    assert retriever.propose([], 20)[0].shape == (0, 20)


def test_an_index_is_pickled():
    retriever, asked = indexed(fused(1200), "hnsw"), histories(1200, 4)
    again = pickle.loads(pickle.dumps(retriever))
    assert again.index is not None
    np.testing.assert_array_equal(again.propose(asked, 9)[0], retriever.propose(asked, 9)[0])
