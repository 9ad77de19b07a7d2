from dataclasses import replace

import numpy as np
import pytest

from lkgrag.data.splits.base import Events
from lkgrag.retrieval.fusion.corner_fit import fit_corners
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.fusion.pools import make_pools
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.popularity import PopularityRetriever

ITEMS = 40
#: Half of the items is rare, half is common.
COUNT = np.where(np.arange(ITEMS) % 2, 200, 4)
NAMES = ["of_rare", "of_common"]
EVEN = dict.fromkeys(NAMES, 0.5)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


class Planted:
    """Log-probabilities of two systems and a truth, by the latest item of the history."""

    def __init__(self, know_rare, seed=0):
        """``know_rare(count, length)``: whether the first system is right about items of a count."""
        rng = np.random.default_rng(seed)
        self.truth = rng.normal(0, 2, (ITEMS, ITEMS))
        noise = [rng.normal(0, 2, (ITEMS, ITEMS)) for _ in NAMES]
        self.know_rare, self.noise, self.rng = know_rare, noise, rng

    def features(self, histories):
        last = [int(h[-1]) for h in histories]
        known = np.stack([self.know_rare(COUNT, len(h)) for h in histories])
        truth = self.truth[last]
        parts = (
            np.where(known, truth, self.noise[0][last]),
            np.where(known, self.noise[1][last], truth),
        )
        return {n: log_softmax(p).astype(np.float32) for n, p in zip(NAMES, parts, strict=True)}

    def pools(self, events=1500, users=150, length=lambda rng: int(rng.integers(1, 30))):
        past = [np.full(length(self.rng), i) for i in self.rng.integers(0, ITEMS, events)]
        chance = np.exp(log_softmax(self.truth[[h[-1] for h in past]]))
        target = np.array([self.rng.choice(ITEMS, p=p) for p in chance])
        found = Events(
            self.rng.integers(0, users, events), np.array([len(h) for h in past]), target
        )
        return make_pools(self.features, NAMES, NAMES, past, found, COUNT, mask_seen=False)


def test_fit_finds_who_knows_the_rare_items():
    weights = fit_corners(Planted(lambda count, _: count < 50).pools(), EVEN, seed=0)
    assert not weights.is_constant
    assert (weights.count, weights.commonness(np.array([4, 200])).tolist()) == ((4, 200), [0, 1])
    assert (weights.corners["of_rare"][0] > 0.7).all()
    assert (weights.corners["of_rare"][1] < 0.2).all()
    assert (weights.corners["of_common"][0] < 0.2).all()
    assert (weights.corners["of_common"][1] > 0.7).all()


def test_fit_finds_who_knows_short_histories():
    lengths = lambda rng: int(rng.choice([2, 50]))  # noqa: E731
    planted = Planted(lambda count, length: np.full(len(count), length < 10))
    weights = fit_corners(planted.pools(length=lengths), EVEN, seed=0)
    assert weights.length == (2, 50)
    assert (weights.corners["of_rare"][:, 0] > 0.7).all()
    assert (weights.corners["of_rare"][:, 1] < 0.2).all()


@pytest.mark.parametrize("seed", range(3))
def test_without_evidence_weights_are_constant(seed):
    """The first system is right everywhere, and the second nowhere."""
    pools = Planted(lambda count, _: np.ones(len(count), bool), seed).pools(400)
    weights = fit_corners(pools, EVEN, seed)
    for corners in weights.corners.values():
        assert np.ptp(corners) < 0.15
    assert weights.middle["of_rare"] > 0.7
    assert weights.middle["of_common"] < 0.2


def test_strong_pull_leaves_one_weight(monkeypatch):
    pools = Planted(lambda count, _: count < 50).pools()
    monkeypatch.setattr("lkgrag.retrieval.fusion.corner_fit.STRENGTHS", (1e6,))
    weights = fit_corners(pools, EVEN, seed=0)
    assert all(np.ptp(corners) < 0.01 for corners in weights.corners.values())


def test_one_count_and_one_length():
    pools = Planted(lambda count, _: count < 50).pools(length=lambda _: 5)
    pools.count[:] = 7
    weights = fit_corners(pools, EVEN, seed=0)
    assert weights.is_constant
    assert weights.commonness(np.array([0, 7, 100])).tolist() == [0, 0, 0]


def test_a_single_user_and_no_event_give_constant_weights():
    planted = Planted(lambda count, _: count < 50)
    assert fit_corners(planted.pools(users=1), EVEN, seed=0).is_constant
    empty = planted.pools(50)[np.zeros(50, bool)]
    assert fit_corners(empty, EVEN, seed=0).middle == EVEN


def test_a_single_system_keeps_its_order():
    planted = Planted(lambda count, _: count < 50)
    past = [np.array([i]) for i in range(ITEMS)] * 20
    events = Events(np.arange(len(past)), np.ones(len(past), int), np.arange(len(past)) * 7 % ITEMS)
    names = NAMES[:1]
    pools = make_pools(planted.features, names, names, past, events, COUNT, mask_seen=False)
    assert fit_corners(pools, {"of_rare": 1.0}, seed=0).is_constant


def test_a_system_without_a_constant_weight_stays_out():
    pools = Planted(lambda count, _: count < 50).pools()
    noise = np.random.default_rng(1).normal(0, 1, (len(pools.features), 1)).astype(np.float32)
    worst = np.concatenate([pools.features, -pools.features.sum(1, keepdims=True) + noise], 1)
    pools = replace(pools, names=[*NAMES, "worst"], features=worst)
    weights = fit_corners(pools, {**EVEN, "worst": 0.0}, seed=0)
    assert not weights.is_constant
    assert list(weights.corners) == [*NAMES, "worst"]
    assert weights.middle["worst"] == 0


def test_weights_are_bilinear_in_logarithms_and_constant_beyond():
    corners = np.array([[1.0, 2.0], [3.0, 5.0]])
    weights = CornerWeights((4, 64), (2, 32), {"a": corners})
    common = weights.commonness(np.array([0, 1, 4, 16, 64, 999]))
    assert common.tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1])
    rare, more = weights.of_lengths([0, 2, 8, 32, 500])
    assert rare.shape == more.shape == (1, 5, 1)
    assert rare.ravel().tolist() == pytest.approx([1, 1, 1.5, 2, 2])
    assert more.ravel().tolist() == pytest.approx([2, 2, 2.5, 3, 3])
    assert weights.middle == {"a": 2.75}
    assert CornerWeights.constant({"a": 0.3}).middle == {"a": 0.3}


def real(weights=None):
    """Two systems of the package on a small catalogue, of which the last item was never chosen."""
    count = np.append(np.random.default_rng(0).integers(1, 300, 29), 0)
    systems = {"popularity": PopularityRetriever(count), "again": Again(count)}
    return FusedRetriever(systems, weights)


class Again(PopularityRetriever):
    """Other evidence of a known form."""

    def evidence(self, histories):
        rows = [np.roll(self._log_shares[0], len(h)) for h in histories]
        return np.stack(rows)


BY_COUNT = CornerWeights(
    (3.0, 200.0),
    (2.0, 20.0),
    {"popularity": np.array([[0.1, 0.9], [0.7, 0.3]]), "again": np.array([[1.0, 0.0], [0.2, 0.6]])},
)
HISTORIES = [np.arange(n) for n in (1, 3, 9, 20, 28)]


def test_score_weighs_each_item_by_its_count():
    retriever = real(BY_COUNT)
    score = retriever.score(HISTORIES)
    assert retriever.weights == pytest.approx({"popularity": 0.5, "again": 0.45})
    for row, history in enumerate(HISTORIES):
        length = np.clip(np.log(len(history) / 2) / np.log(10), 0, 1)
        for item, count in enumerate(retriever.popularity):
            common = np.clip(np.log(max(count, 3) / 3) / np.log(200 / 3), 0, 1)
            shares = np.outer([1 - common, common], [1 - length, length])
            expected = sum(
                (BY_COUNT.corners[n] * shares).sum() * system.evidence([history])[0, item]
                for n, system in retriever.systems.items()
            )
            assert score[row, item] == pytest.approx(expected, rel=1e-4)


def test_one_history_scores_as_many_do():
    retriever = real(BY_COUNT)
    for row, history in enumerate(HISTORIES):
        np.testing.assert_array_equal(
            retriever.score([history])[0], retriever.score(HISTORIES)[row]
        )


def test_an_empty_history_gets_popularity():
    retriever = real(BY_COUNT)
    expected = retriever.systems["popularity"].evidence([np.zeros(0, int)])[0]
    np.testing.assert_array_equal(retriever.score([np.zeros(0, int), HISTORIES[0]])[0], expected)


@pytest.mark.parametrize(
    "weights", [BY_COUNT, CornerWeights.constant({"popularity": 0.5, "again": 0.4})]
)
def test_new_items_get_the_constant_and_nothing_else_does(weights):
    plain = real(weights)
    boosted = FusedRetriever(plain.systems, weights, new_items=1.5)
    histories = [*HISTORIES, np.zeros(0, int)]
    gap = boosted.score(histories) - plain.score(histories)
    expected = np.zeros_like(gap)
    # An empty history has popularity's order, as ever.
    expected[:-1, 29] = 1.5
    np.testing.assert_allclose(gap, expected, atol=1e-6)


def test_the_constant_of_new_items_is_saved(tmp_path):
    retriever = FusedRetriever({"popularity": PopularityRetriever(COUNT)}, new_items=2.0)
    retriever.save(tmp_path)
    assert FusedRetriever.load(tmp_path).new_items == 2.0
    FusedRetriever(retriever.systems).save(tmp_path)
    assert FusedRetriever.load(tmp_path).new_items == 0.0
