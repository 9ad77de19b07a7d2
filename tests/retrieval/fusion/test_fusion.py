import numpy as np
import pytest

from lkgrag.data.splits.base import Events
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.fusion.pools import make_pools
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.fusion.weights import fit_weights
from lkgrag.retrieval.popularity import PopularityRetriever


class Fixed(Retriever):
    """Log-probabilities from a table, by the latest item."""

    name = "fixed"

    def __init__(self, table):
        self.table = table
        self.num_items = table.shape[1]

    def score(self, histories):
        rows = [self.table[h[-1]] if len(h) else np.zeros(self.num_items) for h in histories]
        return np.stack(rows).astype(np.float32)

    def evidence(self, histories):
        return self.score(histories)

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def load(cls, folder):
        raise NotImplementedError


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def fused(mask=True, **weights):
    rng = np.random.default_rng(0)
    systems = {
        "good": Fixed(log_softmax(rng.normal(size=(30, 30)))),
        "noise": Fixed(log_softmax(rng.normal(size=(30, 30)))),
        "popularity": PopularityRetriever(rng.integers(1, 50, 30)),
    }
    return FusedRetriever(systems, weights or None, mask)


def test_score_is_the_weighted_sum_of_evidence():
    retriever = fused(good=0.7, noise=0.2)
    past = [np.array([3]), np.array([1, 2])]
    parts = {n: retriever.systems[n].evidence(past) for n in ("good", "noise")}
    expected = 0.7 * parts["good"] + 0.2 * parts["noise"]
    np.testing.assert_allclose(retriever.score(past), expected, rtol=1e-5)


def test_an_empty_history_gets_the_most_popular():
    retriever = fused(good=1.0)
    items, scores = retriever.propose([np.zeros(0, np.int64), np.array([4])], 5)
    best = np.lexsort((np.arange(30), -retriever.popularity))[:5]
    assert items[0].tolist() == best.tolist()
    assert items[1].tolist() != best.tolist()
    assert (np.diff(scores, axis=1) <= 0).all()


def test_proposals_leave_out_the_history_only_where_asked():
    past = [np.arange(12, dtype=np.int64)]
    masked, _ = fused(good=1.0).propose(past, 30)
    assert set(masked[0].tolist()) == {-1, *range(12, 30)}
    free, _ = fused(mask=False, good=1.0).propose(past, 30)
    assert set(free[0].tolist()) == set(range(30))


def test_proposals_do_not_depend_on_the_blocks(monkeypatch):
    retriever = fused(good=1.0, noise=0.5)
    past = [np.array([i]) for i in range(20)]
    whole = retriever.propose(past, 7)
    monkeypatch.setattr("lkgrag.retrieval.base.BLOCK", 1)
    for a, b in zip(whole, retriever.propose(past, 7), strict=True):
        np.testing.assert_array_equal(a, b)


def drawn(retriever, events=1500):
    """Events whose targets follow the system ``good``."""
    rng = np.random.default_rng(1)
    past = [np.array([i]) for i in rng.integers(0, 30, events)]
    chance = np.exp(retriever.systems["good"].evidence(past)).astype(np.float64)
    for row, h in enumerate(past):
        chance[row, h] = 0
    chance /= chance.sum(1, keepdims=True)
    return past, np.array([rng.choice(30, p=p) for p in chance])


def pools_of(retriever, past, target):
    names = list(retriever.weights)
    events = Events(np.arange(len(past)), np.array([len(h) for h in past]), target)
    return make_pools(retriever.features, names, names, past, events, retriever.popularity, True)


def test_weights_find_the_system_that_is_right():
    retriever = fused(good=0.5, noise=0.5)
    past, target = drawn(retriever)
    pools = pools_of(retriever, past, target)
    assert len(pools) == 1500
    weights = fit_weights(pools, retriever.weights, ridge=0.0)
    assert weights["good"] == pytest.approx(1.0, abs=0.15)
    assert weights["noise"] == pytest.approx(0.0, abs=0.1)
    pulled = fit_weights(pools, {"good": 0.0, "noise": 3.0}, ridge=1e7)
    assert pulled["good"] == pytest.approx(0, abs=0.01)
    assert pulled["noise"] == pytest.approx(3, abs=0.01)


def test_weights_minimise_the_penalised_cross_entropy():
    retriever = fused(good=0.5, noise=0.5)
    pools = pools_of(retriever, *drawn(retriever, 60))
    found = fit_weights(pools, retriever.weights, ridge=2.0)

    def loss(weights):
        vector = np.array([weights[n] for n in pools.names])
        score = pools.features.astype(float) @ vector
        total = 0.0
        for start, end, mine in zip(
            pools.start, [*pools.start[1:], len(score)], pools.target, strict=True
        ):
            total += np.log(np.exp(score[start:end]).sum()) - score[mine]
        return total + 2.0 * sum((weights[n] - 0.5) ** 2 for n in weights)

    best = loss(found)
    for name in found:
        for change in (-0.02, 0.02):
            moved = {**found, name: max(found[name] + change, 0.0)}
            assert loss(moved) >= best - 1e-4


def test_a_harmful_system_gets_no_negative_weight():
    retriever = fused(good=0.5, noise=0.5)
    pools = pools_of(retriever, *drawn(retriever))
    pools.features[:, 1] = -pools.features[:, 0]
    weights = fit_weights(pools, retriever.weights, ridge=0.0)
    assert weights["noise"] >= 0
    assert weights["good"] > 0.5


def test_masked_items_are_no_part_of_the_pool():
    retriever = fused(good=1.0)
    nothing = pools_of(retriever, [np.array([3, 5])], np.array([5]))
    assert len(nothing) == 0
    assert fit_weights(nothing, {"good": 0.3}) == {"good": 0.3}
    pools = pools_of(retriever, [np.array([3, 5])], np.array([6]))
    assert len(pools.features) == 28
    assert pools.start.tolist() == [0]
    # Items below 6 are 0, 1, 2 and 4.
    assert pools.target.tolist() == [4]
