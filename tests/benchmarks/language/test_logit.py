"""The conditional logit: known answers, and ranks."""

import numpy as np
import pytest

from benchmarks.language.logit import Lists, cross_validated, figures, fit_logit, ranks_of


def test_the_fit_has_the_answer_of_a_binary_regression():
    # Two slots that differ by 1 in the only evidence; the one with more is chosen three times of four.
    table = np.zeros((4000, 2, 1), np.float32)
    table[:3000, 0], table[3000:, 1] = 1.0, 1.0
    weights = fit_logit(table, np.zeros((4000, 2), bool), ridge=0.0)
    assert weights == pytest.approx([np.log(3)], abs=1e-3)


def test_blocked_slots_do_not_compete():
    table = np.zeros((4000, 3, 1), np.float32)
    table[:3000, 0], table[3000:, 1], table[:, 2] = 1.0, 1.0, 9.0
    blocked = np.zeros((4000, 3), bool)
    blocked[:, 2] = True
    assert fit_logit(table, blocked, ridge=0.0) == pytest.approx([np.log(3)], abs=1e-3)


def _planted(rng, events=600, width=150):
    truth = rng.standard_normal((events, width)).astype(np.float32)
    noise = rng.gumbel(size=(events, width))
    target = (3 * truth + noise).argmax(1)
    lists = Lists(target, np.arange(events) // 2, np.ones((events, width), bool))
    return lists, truth


def test_evidence_is_found_and_noise_gets_no_weight():
    rng = np.random.default_rng(0)
    lists, truth = _planted(rng)
    noise = rng.standard_normal(truth.shape).astype(np.float32)
    scores, weights = cross_validated(lists, [truth, noise])
    assert weights[0] == pytest.approx(3.0, rel=0.2)
    assert abs(weights[1]) < 0.2
    row = figures(ranks_of(scores, lists), lists.user, ranks_of(noise, lists))
    assert row["ndcg@10"] > 0.5
    assert row["gain"] > 1
    assert row["p"] < 1e-6


def test_weights_do_not_see_the_events_that_they_rank():
    rng = np.random.default_rng(1)
    lists, _ = _planted(rng)
    # An evidence for each event that singles its target out would be learned by a fit on the same events.
    own = [np.zeros(lists.filled.shape, np.float32) for _ in range(5)]
    for number, x in enumerate(own):
        part = np.flatnonzero(lists.user % 5 == number)
        x[part, lists.target[part]] = rng.choice([-1.0, 1.0], len(part))
    scores, _ = cross_validated(lists, own)
    assert figures(ranks_of(scores, lists), lists.user)["recall@10"] < 0.7


def test_empty_slots_are_no_candidates():
    filled = np.array([[True, True, False], [True, True, True]])
    lists = Lists(np.array([0, 2]), np.array([0, 1]), filled)
    scores = np.array([[1.0, 0.0, 5.0], [3.0, 1.0, 3.0]], np.float32)
    # Equal scores count against the target.
    assert ranks_of(scores, lists).tolist() == [1, 2]


def test_figures_have_the_error_of_users():
    ranks, base = np.array([1, 1, 3, 3]), np.array([3, 3, 3, 3])
    row = figures(ranks, np.array([0, 0, 1, 1]), base)
    assert row["ndcg@10"] == 0.75
    # One user gains all, the other nothing: the error of the mean is half the difference.
    assert row["gain"] == pytest.approx(0.5)
    assert row["error"] == pytest.approx(0.5)
    assert row["t"] == pytest.approx(1.0)
    same = figures(ranks, np.array([0, 0, 1, 1]), ranks)
    assert (same["gain"], same["t"], same["p"]) == (0.0, 0.0, 1.0)
