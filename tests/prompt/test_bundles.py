import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from lkgrag.prompt.bundles import Bundles, Grades, bundle_paths, choose, pool_salience
from lkgrag.testing.prompts import toy_paths

_, PATHS = toy_paths()


def bundles(slot, metapath, strength, salience=None):
    return Bundles(
        np.array(slot),
        np.array(metapath),
        np.array(strength, float),
        np.arange(len(slot)),
        None if salience is None else np.array(salience, float),
    )


def test_bundles_against_a_loop():
    salience = torch.linspace(-3, 2, len(PATHS))
    groups = {}
    for p in range(len(PATHS)):
        sample, candidate = int(PATHS.sample[p]), int(PATHS.candidate[p])
        key = (sample * PATHS.num_candidates + candidate, int(PATHS.metapath[p]))
        groups.setdefault(key, []).append(p)
    got = bundle_paths(PATHS, 0.5, salience)
    assert list(zip(got.slot, got.metapath, strict=True)) == sorted(groups)
    for n, key in enumerate(sorted(groups)):
        strength = sum(
            float(PATHS.weight[p])
            * 0.5 ** int(PATHS.history_age[PATHS.sample[p], PATHS.history[p]])
            for p in groups[key]
        )
        assert math.isclose(got.strength[n], strength, rel_tol=1e-6)
        assert math.isclose(got.salience[n], logsumexp(salience[groups[key]]), rel_tol=1e-6)
        assert set(np.flatnonzero(got.of_path == n)) == set(groups[key])


def test_pooled_salience_has_a_softmax_gradient():
    salience = torch.tensor([1.0, 3.0, -2.0], dtype=torch.float64, requires_grad=True)
    pooled = pool_salience(salience, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(pooled[0], torch.logsumexp(salience[:2], 0))
    pooled[0].backward()
    expected = torch.cat([torch.softmax(salience.detach()[:2], 0), torch.zeros(1).double()])
    torch.testing.assert_close(salience.grad, expected)


def test_large_saliences_do_not_overflow():
    pooled = pool_salience(torch.tensor([1e4, 1e4]), torch.tensor([0, 0]), 1)
    assert pooled.item() == pytest.approx(1e4 + math.log(2))


def test_grades_are_tenths_of_the_training_bundles():
    training = bundles(range(100), [0] * 100, np.arange(100))
    grades = Grades.fit([training], 2)
    got = grades(bundles([0, 1, 2, 3, 4], [0] * 5, [-1, 5, 15, 50, 1000]))
    assert got.tolist() == [0, 0, 1, 5, 9]
    # A meta-path that training never saw has the lowest grade.
    assert grades(bundles([0], [1], [7.0])).tolist() == [0]


def test_a_strength_that_all_share_gets_the_middle_grade():
    grades = Grades.fit([bundles(range(5), [0] * 5, [2.0] * 5)], 1)
    assert grades(bundles([0], [0], [2.0])).tolist() == [4]


def test_thresholds_must_be_a_table():
    with pytest.raises(ValueError, match="\\[M, 9\\]"):
        Grades(np.zeros((2, 3)))


def test_the_most_salient_are_chosen_and_ties_follow_the_metapaths():
    given = bundles([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [1] * 5, [0.1, 0.9, 0.5, 2, 2])
    chosen = choose(given, np.zeros(5, np.int64), 2)
    assert chosen.index.tolist() == [1, 2, 3, 4]
    assert chosen.rank.tolist() == [0, 1, 0, 1]
    one = choose(given, np.zeros(5, np.int64), 1)
    assert one.index.tolist() == [1, 3]
    assert choose(given, np.zeros(5, np.int64), 0).index.tolist() == []


def test_without_salience_the_grade_decides_then_the_strength():
    given = bundles([0, 0, 0], [0, 1, 2], [9.0, 0.1, 0.2])
    assert choose(given, np.array([3, 8, 8]), 2).index.tolist() == [1, 2]
    assert choose(given, np.array([3, 8, 8]), 1).index.tolist() == [2]


def test_sampling_follows_the_salience_and_the_generator():
    given = bundles([0, 0], [0, 1], [1, 1], [0.0, math.log(3)])
    generator = torch.Generator().manual_seed(0)
    draws = [choose(given, np.zeros(2), 1, generator).index[0] for _ in range(2000)]
    assert np.mean(draws) == pytest.approx(0.75, abs=0.03)
    again = torch.Generator().manual_seed(0)
    assert [choose(given, np.zeros(2), 1, again).index[0] for _ in range(50)] == draws[:50]
