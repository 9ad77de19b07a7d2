import json
import math

import numpy as np
import pytest
import torch

from lkgrag.ranker.fusion import Fusion, TermWeights, centre, list_cross_entropy
from lkgrag.ranker.fusion_weights import (
    FittedWeights,
    TermLists,
    cross_fit_weights,
    fit_weights,
)


def test_weights_are_set_exactly_and_may_be_zero():
    fusion = Fusion(a=0.0, b=2.5)
    assert fusion.a.item() == 0.0
    assert fusion.b.item() == pytest.approx(2.5)


def test_centre_ignores_padding():
    scores = torch.tensor([[1.0, 3.0, 100.0]])
    mask = torch.tensor([[True, True, False]])
    assert centre(scores, mask).tolist() == [[-1.0, 1.0, 0.0]]


def test_fused_score_by_hand():
    fusion = Fusion(a=2.0, b=0.5)
    mask = torch.tensor([[True, True, False]])
    out = fusion(
        torch.tensor([[1.0, 3.0, 9.0]]),
        torch.tensor([[0.0, 1.0, 9.0]]),
        torch.tensor([[-1.0, -2.0, -math.inf]]),
        mask,
    )
    assert out[0, :2].tolist() == pytest.approx([-1 - 1 - 0.5, 1 + 1 - 1.0])
    assert out[0, 2] == -math.inf


def test_cross_entropy_is_over_filled_slots_only():
    loss = list_cross_entropy(
        torch.zeros(1, 4), torch.tensor([0]), torch.tensor([[True, True, False, False]])
    )
    assert loss.item() == pytest.approx(math.log(2))


def lists(num=2000, seed=0, weights=(1.0, 0.5, 2.0)):
    rng = np.random.default_rng(seed)
    terms = rng.normal(size=(3, num, 5))
    utility = np.einsum("t,tec->ec", np.asarray(weights), terms) + rng.gumbel(size=(num, 5))
    return terms, np.ones((num, 5), bool), utility.argmax(1)


def users_of(target, each=2):
    return np.arange(len(target)) // each


def test_weights_sum_to_one_where_they_are_not_all_zero():
    assert TermWeights(1.0, 2.0, 1.0).normalised() == (0.25, 0.5, 0.25)
    assert TermWeights(0.0, 0.0, 0.0).normalised() == (0.0, 0.0, 0.0)


def test_a_language_model_without_weight_does_not_move_the_score():
    fusion = Fusion(a=1.0, b=1.0, lm=0.0)
    lm = torch.tensor([[5.0, -5.0]])
    zeros = torch.zeros(1, 2)
    assert fusion(lm, zeros, zeros, torch.ones(1, 2, dtype=torch.bool)).tolist() == [[0.0, 0.0]]
    assert fusion.weights == pytest.approx((0.0, 1.0, 1.0))


def test_fit_recovers_the_weights_that_made_the_data():
    terms, mask, target = lists(8000)
    fitted = fit_weights(TermLists(terms, mask, target, users_of(target)))
    lm, a, b = fitted.with_lm
    assert sum(fitted.with_lm) == pytest.approx(1.0)
    assert sum(fitted.without_lm) == pytest.approx(1.0)
    assert a / lm == pytest.approx(0.5, abs=0.1)
    assert b / lm == pytest.approx(2.0, abs=0.2)
    assert fitted.gain > 5 * fitted.gain_se > 0
    assert fitted.chosen == fitted.with_lm


def test_terms_that_say_nothing_leave_the_order_of_the_retriever():
    terms, mask, target = lists(300, weights=(0.0, 0.0, 1.0))
    chosen = fit_weights(TermLists(terms, mask, target, users_of(target))).chosen
    prior, fused = terms[2], np.einsum("t,tec->ec", np.asarray(chosen), terms)
    far = np.abs(prior[:, 0] - prior[:, 1]) > 0.5
    assert ((prior[:, 0] > prior[:, 1]) == (fused[:, 0] > fused[:, 1]))[far].all()


def test_a_language_model_without_worth_has_no_weight():
    worthless = 0
    for seed in range(10):
        terms, mask, target = lists(1500, seed, weights=(0.0, 2.0, 1.0))
        user = users_of(target)
        fitted = fit_weights(TermLists(terms, mask, target, user))
        without = terms.copy()
        without[0] = 0.0
        alone = fit_weights(TermLists(without, mask, target, user))
        assert fitted.without_lm == pytest.approx(alone.chosen)
        if fitted.chosen.lm == 0:
            worthless += 1
            assert fitted.chosen == fitted.without_lm
    # A gain of more than one standard error comes by chance in a sixth of the cases at most.
    assert worthless >= 7


def test_the_strongest_ridge_leaves_the_scorer_no_weight_at_all():
    terms, mask, target = lists(60, weights=(0.0, 0.0, 1.0))
    known = TermLists(terms, mask, target, users_of(target))
    exact = [fit_weights(known, seed=seed).without_lm.scorer == 0 for seed in range(10)]
    assert any(exact)


def test_the_worth_of_a_language_model_is_measured_with_a_weight():
    found = []
    for seed in range(5):
        terms, mask, target = lists(300, seed, weights=(0.0, 2.0, 1.0))
        # It says a little of what it should, less than one can find.
        terms[0, np.arange(300), target] += 0.05
        found.append(fit_weights(TermLists(terms, mask, target, users_of(target))))
    assert any(fitted.with_lm.lm > 0 and fitted.chosen.lm == 0 for fitted in found)


def test_lists_that_the_language_model_did_not_read_weigh_scorer_and_prior():
    away, away_few = [], []
    for seed in range(5):
        terms, mask, target = lists(6000, seed, weights=(0.0, 2.0, 1.0))
        read = np.arange(6000) < 100
        terms[0, ~read] = 0.0
        user = users_of(target)
        _, a, b = fit_weights(TermLists(terms, mask, target, user, read)).with_lm
        _, a_few, b_few = fit_weights(TermLists(terms, mask, target, user)[read]).with_lm
        away.append(abs(a / b - 2.0))
        away_few.append(abs(a_few / b_few - 2.0))
    assert np.mean(away) < 0.25
    assert np.mean(away) < np.mean(away_few)


def test_where_the_language_model_read_nothing_the_others_are_weighed():
    terms, mask, target = lists(3000, weights=(0.0, 1.0, 2.0))
    none = np.zeros(3000, bool)
    lm, a, b = fit_weights(TermLists(terms, mask, target, users_of(target), none)).chosen
    assert lm == 0
    assert a / b == pytest.approx(0.5, rel=0.15)


def test_without_a_language_model_scorer_and_prior_are_weighed():
    terms, mask, target = lists(4000, weights=(0.0, 1.0, 2.0))
    terms[0] = 0.0
    fitted = fit_weights(TermLists(terms, mask, target, users_of(target)))
    assert fitted.chosen == fitted.without_lm
    assert fitted.chosen == pytest.approx((0.0, 1 / 3, 2 / 3), abs=0.03)


def test_lists_without_their_target_say_nothing():
    terms, mask, target = lists(500)
    user = users_of(target)
    kept = np.arange(500) % 3 > 0
    missed = np.where(kept, target, -1)
    few = fit_weights(TermLists(terms, mask, target, user)[kept])
    found = fit_weights(TermLists(terms, mask, missed, user))
    assert found.with_lm == pytest.approx(few.with_lm)


def test_fit_without_data_keeps_the_start():
    none = np.zeros(0, int)
    found = fit_weights(
        TermLists(np.zeros((3, 0, 5)), np.ones((0, 5), bool), none, none),
        TermWeights(1.0, 0.3, 0.7),
    )
    assert found.chosen == (0.5, 0.15, 0.35)
    assert found.without_lm == pytest.approx((0.0, 0.3, 0.7))


def test_cross_fitted_weights_never_see_the_lists_of_their_user():
    terms, mask, target = lists(300)
    user = np.arange(300) // 3
    before = cross_fit_weights(TermLists(terms, mask, target, user))
    changed = target.copy()
    changed[user == 7] = (changed[user == 7] + 1) % 5
    after = cross_fit_weights(TermLists(terms, mask, changed, user))
    for name in ("with_lm", "without_lm", "chosen", "control"):
        old, new = getattr(before, name), getattr(after, name)
        assert np.array_equal(old[user == 7], new[user == 7])
        assert not np.array_equal(old, new)


def test_fitted_weights_come_back_from_json():
    for gain in (0.25, math.inf):
        with_lm, without = TermWeights(0.5, 0.25, 0.25), TermWeights(0.0, 0.5, 0.5)
        fitted = FittedWeights(with_lm, without, TermWeights(0.0, 0.6, 0.4), gain, 0.1)
        assert FittedWeights.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted
