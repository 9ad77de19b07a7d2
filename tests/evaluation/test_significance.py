import math

import numpy as np
import pytest

from lkgrag.evaluation import paired_bootstrap, significance, smallest_detectable, standard_error


def test_interval_of_a_normal_mean():
    rng = np.random.default_rng(0)
    values = rng.normal(0.1, 1.0, 2000)
    found = paired_bootstrap(values, np.arange(2000), 4000)
    se = values.std(ddof=1) / math.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.se == pytest.approx(se)
    assert found.low == pytest.approx(values.mean() - 1.96 * se, abs=0.15 * se)
    assert found.high == pytest.approx(values.mean() + 1.96 * se, abs=0.15 * se)


def test_events_of_a_user_are_no_independent_evidence():
    rng = np.random.default_rng(1)
    of_user = rng.normal(0, 1, 100)
    user = np.repeat(np.arange(100), 10)
    clustered = paired_bootstrap(of_user[user], user, 2000)
    naive = paired_bootstrap(of_user[user], np.arange(1000), 2000)
    assert (clustered.high - clustered.low) > 2.5 * (naive.high - naive.low)
    assert clustered.se == pytest.approx(of_user.std(ddof=1) / 10)


def test_intervals_cover_the_truth():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        user = rng.integers(0, 60, 150)
        effect = rng.normal(0.3, 0.5, 60)
        found = paired_bootstrap(effect[user] + rng.normal(0, 1, 150), user, 300, seed)
        covered += found.low <= 0.3 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_p_is_uniform_without_a_difference_and_small_with_one():
    users = np.arange(100)
    p = [
        paired_bootstrap(np.random.default_rng(s).normal(0, 1, 100), users, 300).p
        for s in range(200)
    ]
    assert 0.01 <= np.mean(np.asarray(p) < 0.05) <= 0.1
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)
    strong = paired_bootstrap(np.random.default_rng(0).normal(1, 1, 100), users, 999)
    assert strong.p == pytest.approx(2 / 1000)


def test_no_difference_is_no_difference():
    found = paired_bootstrap(np.zeros(20), np.arange(20), 100)
    assert (found.mean, found.low, found.high, found.p, found.se) == (0, 0, 0, 1, 0)


def test_seeded_and_independent_of_chunks(monkeypatch):
    rng = np.random.default_rng(2)
    values, user = rng.normal(size=50), rng.integers(0, 20, 50)
    one = paired_bootstrap(values, user, 500, seed=3)
    assert paired_bootstrap(values, user, 500, seed=3) == one
    assert paired_bootstrap(values, user, 500, seed=4) != one
    monkeypatch.setattr(significance, "CHUNK", 64)
    assert paired_bootstrap(values, user, 500, seed=3) == one


def test_text_of_a_difference():
    found = significance.Difference(0.0123, -0.001, 0.02, 0.0321, 0.005, 9, 9)
    assert str(found) == "+0.0123 [-0.0010, +0.0200] p=0.032"
    assert str(significance.Difference(0.1, 0.1, 0.1, 0.0002, 0, 9, 9)).endswith("p<.001")


def test_a_difference_of_the_smallest_detectable_size_is_found_as_often_as_promised():
    rng = np.random.default_rng(5)
    users = np.arange(150)
    size = smallest_detectable(rng.normal(0, 2, 20000), np.arange(20000), users=150)
    assert size == pytest.approx(2 * 2.8016 / math.sqrt(150), rel=0.03)
    found = [paired_bootstrap(rng.normal(size, 2, 150), users, 300, s).low > 0 for s in range(200)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.09)


def test_empty_and_broken_input():
    nothing = paired_bootstrap(np.zeros(0), np.zeros(0, np.int64))
    assert math.isnan(nothing.mean)
    assert nothing.events == 0
    assert math.isnan(standard_error(np.ones(3), np.zeros(3, np.int64)))
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap(np.array([np.nan]), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="one value an event"):
        paired_bootstrap(np.zeros(2), np.zeros(1, np.int64))
