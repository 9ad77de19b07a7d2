import math

import numpy as np
import pytest

from lkgrag.evaluation import (
    bootstrap_sum,
    control_share,
    detectable,
    paired_bootstrap,
    significance,
    smallest_detectable,
    standard_error,
)


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
    monkeypatch.setattr(significance, "KEPT", 0)
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


def sampled(seed):
    """200 users' events; a difference that only the first 40 know, and one like it that all know."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(200), rng.integers(1, 5, 200))
    whole = rng.normal(0.2, 0.5, 200)[user] + rng.normal(0, 1, len(user))
    wanted = whole + rng.normal(0.1, 0.1, len(user))
    there = user < 40
    return (whole, user), (wanted[there] - whole[there], user[there]), wanted[there]


def test_by_way_of_a_third_the_interval_is_narrower_and_covers_the_truth():
    covered, ratio = 0, []
    for seed in range(200):
        over, under, alone = sampled(seed)
        found = bootstrap_sum([over, under], 300, seed)
        covered += found.low <= 0.3 <= found.high
        ratio.append(found.se / standard_error(alone, under[1]))
        if seed == 0:
            assert found.mean == pytest.approx(over[0].mean() + under[0].mean())
            assert (found.users, found.events) == (200, len(over[0]))
            assert found.high - found.low == pytest.approx(3.92 * found.se, rel=0.2)
    assert 0.88 <= covered / 200 <= 0.99
    # About sqrt(40 / 200).
    assert np.mean(ratio) == pytest.approx(0.45, abs=0.05)


def test_a_sum_of_one_mean_is_that_mean():
    over, _, _ = sampled(3)
    assert bootstrap_sum([over], 500, 7) == paired_bootstrap(*over, 500, 7)


def test_a_resample_without_a_user_of_the_sample_changes_nothing_there():
    over = (np.asarray([1.0, 1.0, 1.0]), np.arange(3))
    found = bootstrap_sum([over, (np.asarray([2.0]), np.asarray([1]))], 200)
    assert (found.low, found.mean, found.high) == (3.0, 3.0, 3.0)


def test_what_is_detectable_follows_from_the_standard_error():
    over, _, _ = sampled(5)
    assert detectable(standard_error(*over)) == pytest.approx(smallest_detectable(*over))
    assert detectable(1.0) == pytest.approx(2.8016, rel=1e-4)


def test_the_share_of_a_control_is_the_slope_over_users():
    rng = np.random.default_rng(2)
    user = np.repeat(np.arange(300), rng.integers(1, 6, 300))
    control = rng.normal(0, 1, 300)[user] + rng.normal(0, 0.1, len(user))
    noise = rng.normal(0, 0.3, len(user))
    assert control_share(0.6 * control + noise, control, user) == pytest.approx(0.6, abs=0.1)
    assert control_share(control, control, user) == pytest.approx(1.0)
    assert control_share(3.0 * control, control, user) == 1.0
    assert control_share(-control, control, user) == 0.0
    assert control_share(noise, np.ones(len(user)), user) == 0.0


def test_a_control_that_says_nothing_costs_no_precision():
    """Two systems that are nearly the same are compared on shared events as sharply as without a third."""
    ratio = []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        user = np.arange(400)
        over, gap = rng.normal(0.2, 1, 400), rng.normal(0.02, 0.05, 100)
        share = control_share(gap, over[:100], user[:100])
        parts = [(share * over, user), (gap - share * over[:100], user[:100])]
        ratio.append(bootstrap_sum(parts, 50).se / standard_error(gap, user[:100]))
    assert np.mean(ratio) < 1.02
