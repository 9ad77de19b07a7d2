import math

import numpy as np
import pytest
import torch

from lkgrag.ranker.fusion import Fusion, centre, list_cross_entropy
from lkgrag.ranker.fusion_weights import TermLists, cross_fit_weights, fit_weights


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


def test_fit_recovers_the_weights_that_made_the_data():
    terms, mask, target = lists(8000)
    a, b = fit_weights(TermLists(terms, mask, target, users_of(target)))
    assert a == pytest.approx(0.5, abs=0.1)
    assert b == pytest.approx(2.0, abs=0.2)


def test_terms_that_say_nothing_leave_the_order_of_the_retriever():
    terms, mask, target = lists(300, weights=(0.0, 0.0, 1.0))
    a, b = fit_weights(TermLists(terms, mask, target, users_of(target)))
    prior, fused = terms[2], terms[0] + a * terms[1] + b * terms[2]
    far = np.abs(prior[:, 0] - prior[:, 1]) > 0.5
    assert ((prior[:, 0] > prior[:, 1]) == (fused[:, 0] > fused[:, 1]))[far].all()


def test_a_language_model_without_worth_leaves_the_others_in_proportion():
    terms, mask, target = lists(4000, weights=(0.0, 2.0, 1.0))
    user = users_of(target)
    a, b = fit_weights(TermLists(terms, mask, target, user))
    without = terms.copy()
    without[0] = 0.0
    alone = fit_weights(TermLists(without, mask, target, user))
    assert max(a, b) > 10
    assert a / b == pytest.approx(alone[0] / alone[1], rel=0.1)


def test_lists_that_the_language_model_did_not_read_weigh_scorer_and_prior():
    away, away_few = [], []
    for seed in range(5):
        terms, mask, target = lists(6000, seed, weights=(0.0, 2.0, 1.0))
        read = np.arange(6000) < 100
        terms[0, ~read] = 0.0
        user = users_of(target)
        a, b = fit_weights(TermLists(terms, mask, target, user, read))
        few = fit_weights(TermLists(terms, mask, target, user)[read])
        away.append(abs(a / b - 2.0))
        away_few.append(abs(few[0] / few[1] - 2.0))
    assert np.mean(away) < 0.25
    assert np.mean(away) < np.mean(away_few)


def test_where_the_language_model_read_nothing_the_others_are_weighed():
    terms, mask, target = lists(3000, weights=(0.0, 1.0, 2.0))
    none = np.zeros(3000, bool)
    a, b = fit_weights(TermLists(terms, mask, target, users_of(target), none))
    assert a / b == pytest.approx(0.5, rel=0.15)


def test_without_a_language_model_scorer_and_prior_are_weighed():
    terms, mask, target = lists(4000, weights=(0.0, 1.0, 2.0))
    terms[0] = 0.0
    a, b = fit_weights(TermLists(terms, mask, target, users_of(target)))
    assert (a, b) == (pytest.approx(1.0, abs=0.1), pytest.approx(2.0, abs=0.2))


def test_lists_without_their_target_say_nothing():
    terms, mask, target = lists(500)
    user = users_of(target)
    kept = np.arange(500) % 3 > 0
    missed = np.where(kept, target, -1)
    few = fit_weights(TermLists(terms, mask, target, user)[kept])
    assert fit_weights(TermLists(terms, mask, missed, user)) == pytest.approx(few)


def test_fit_without_data_keeps_the_start():
    none = np.zeros(0, int)
    found = fit_weights(
        TermLists(np.zeros((3, 0, 5)), np.ones((0, 5), bool), none, none), (0.3, 0.7)
    )
    assert found == (0.3, 0.7)


def test_cross_fitted_weights_never_see_the_lists_of_their_user():
    terms, mask, target = lists(300)
    user = np.arange(300) // 3
    before = cross_fit_weights(TermLists(terms, mask, target, user), (1.0, 1.0))
    changed = target.copy()
    changed[user == 7] = (changed[user == 7] + 1) % 5
    after = cross_fit_weights(TermLists(terms, mask, changed, user), (1.0, 1.0))
    assert np.array_equal(before[user == 7], after[user == 7])
    assert not np.array_equal(before, after)
