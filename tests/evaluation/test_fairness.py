"""Groups of users, and how far they are apart."""

import numpy as np
import pandas as pd
import pytest

from lkgrag.errors import ConfigError
from lkgrag.evaluation import SplitResult
from lkgrag.evaluation.fairness import compare_groups
from lkgrag.evaluation.user_groups import (
    LEAST,
    OTHER,
    Grouping,
    by_activity,
    by_attributes,
    by_taste,
)


def result_of(ranks, user=None, **more):
    n = len(ranks)
    return SplitResult(
        "test", np.arange(n) if user is None else user, np.ones(n, int), np.zeros(n, int),
        np.full(n, 20), np.ones(n, bool), 20, {"ranker": np.asarray(ranks)}, **more,
    )  # fmt: skip


def test_means_gap_and_deviation_by_hand():
    # The first group has ranks 1 and 3, the second 1 and 0, the third nobody.
    group = Grouping(["a", "b", "c"], np.array([0, 1, 0, 1]))
    found = compare_groups(result_of([1, 1, 3, 0]), {"kind": group}, 200, 0)
    part = found["by"]["kind"]
    assert [(g["group"], g["users"], g["events"]) for g in part["groups"]] == [
        ("a", 2, 2),
        ("b", 2, 2),
    ]
    means = [g["systems"]["ranker"] for g in part["groups"]]
    assert means == pytest.approx([0.75, 0.5])
    gap = part["gaps"]["ranker"]
    assert (gap["best"], gap["worst"]) == ("a", "b")
    assert gap["gap"] == pytest.approx(0.25)
    assert gap["deviation"] == pytest.approx(0.125)
    assert gap["low"] <= gap["gap"] <= gap["high"]


def test_a_planted_gap_is_found_and_chance_is_not():
    rng = np.random.default_rng(0)
    n = 400
    group = Grouping(["f", "m"], rng.integers(0, 2, n))
    planted = np.where(group.group == 0, rng.integers(1, 4, n), rng.integers(0, 21, n))
    gap = compare_groups(result_of(planted), {"g": group}, 1000, 0)["by"]["g"]["gaps"]["ranker"]
    assert gap["p"] < 0.01
    assert gap["low"] > 0
    p = []
    for seed in range(40):
        ranks = np.random.default_rng(seed).integers(0, 21, n)
        chance = compare_groups(result_of(ranks), {"g": group}, 200, seed)
        p.append(chance["by"]["g"]["gaps"]["ranker"]["p"])
    # Uniform under chance, though the best and the worst group are chosen by the data.
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) < 0.05) <= 0.15


def test_permuted_spans_and_intervals_follow_from_whole_users():
    # All events of a user move together: two users of many events have no sure gap.
    user = np.repeat([0, 1], 50)
    group = Grouping(["a", "b"], np.array([0, 1]))
    gap = compare_groups(result_of([1] * 50 + [0] * 50, user), {"g": group}, 200, 0)
    assert gap["by"]["g"]["gaps"]["ranker"]["p"] == 1


def test_a_system_that_ranked_only_one_group_has_no_gap():
    read = np.array([True, True, False, False])
    result = result_of([1, 2, 0, 0], read=read, reading=frozenset({"ranker"}))
    group = Grouping(["a", "b"], np.array([0, 0, 1, 1]))
    part = compare_groups(result, {"g": group}, 10, 0)["by"]["g"]
    assert "ranker" not in part["gaps"]
    assert "random" in part["gaps"]
    assert np.isnan(part["groups"][1]["systems"]["ranker"])


def test_no_event_and_no_group():
    empty = np.zeros(0, int)
    found = compare_groups(result_of(empty), {"g": Grouping([], np.zeros(3, int))}, 10, 0)
    assert found["by"]["g"] == {"groups": [], "left_out": {}, "gaps": {}}


def test_activity_is_cut_into_thirds():
    found = by_activity(np.arange(90))
    assert found.names == ["history 0–29", "history 30–59", "history 60–89"]
    assert np.bincount(found.group).tolist() == [30, 30, 30]
    assert by_activity(np.full(90, 5)).names == []
    assert by_activity(np.zeros(0, int)).names == []


@pytest.mark.parametrize(
    ("values", "names"),
    [
        # Six digits would be the same for all of them.
        ([1_700_000_000 + n for n in range(90)],
         ["1700000000–1700000029", "1700000030–1700000059", "1700000060–1700000089"]),
        ([19_800_101 + n for n in range(90)], ["19800101–19800130", "19800131–19800160", "19800161–19800190"]),
        ([1 + n / 1e9 for n in range(90)], ["1–1.000000029", "1.00000003–1.000000059", "1.00000006–1.000000089"]),
        ([n / 4 for n in range(90)], ["0–7.25", "7.5–14.75", "15–22.25"]),
        ([f"{n}e20" for n in range(90)], ["0–2.9e+21", "3e+21–5.9e+21", "6e+21–8.9e+21"]),
    ],
)  # fmt: skip
def test_numbers_of_many_digits_keep_their_groups_apart(values, names):
    found = by_attributes(users(number=values), ["number"])["number"]
    assert found.names == names
    assert np.bincount(found.group).tolist() == [30, 30, 30]
    assert not found.left_out


def test_infinite_numbers_are_at_the_ends():
    values = ["-inf", "-1e400", *map(str, range(90)), "inf", "1e999", None]
    found = by_attributes(users(number=values), ["number"])["number"]
    assert found.names == ["0–29", "30–59", "60–89"]
    assert np.bincount(found.group[:-1]).tolist() == [32, 30, 32]
    assert found.group[-1] == -1


def test_groups_that_are_alike_have_no_gap():
    """Means of the same numbers that were added in another order differ by rounding alone."""
    ranks = np.array([3, 7, 10, 6, 3, 10, 6, 7])
    assert (1 / ranks[:4]).sum() != (1 / ranks[4:]).sum()
    grouping = Grouping(["a", "b"], np.repeat([0, 1], 4))
    found = compare_groups(result_of(ranks), {"half": grouping}, 50, 0, "mrr")
    found = found["by"]["half"]["gaps"]["ranker"]
    assert (found["gap"], found["deviation"], found["p"]) == (0, 0, 1)
    assert found["best"] == found["worst"]


def test_tastes_are_fifths_and_the_rest():
    # Item 0 is the popular fifth; user n has it in n of 100 places.
    popularity = np.array([99, 5, 4, 3, 2])
    histories = [np.repeat([0, 1], [n, 100 - n]) for n in range(100)]
    found = by_taste([*histories, np.zeros(0, int)], popularity)
    assert found.names == ["niche", "diverse", "blockbuster"]
    assert found.group[-1] == -1
    assert np.abs(np.bincount(found.group[:-1]) - [20, 60, 20]).max() <= 1
    assert (np.diff(found.group[:-1]) >= 0).all()
    # Users of one taste are not told apart.
    same = by_taste([np.array([0])] * 50, popularity)
    assert set(same.group.tolist()) == {0}
    assert same.names == ["diverse"]


def users(**columns):
    return pd.DataFrame({n: [[v] if v is not None else [] for v in c] for n, c in columns.items()})


def test_small_groups_are_merged_or_told():
    work = ["clerk"] * 40 + ["smith"] * 30 + ["cook"] * 12 + ["guard"] * 12 + [None]
    found = by_attributes(users(work=work), [])["work"]
    assert found.names == ["clerk", "smith", OTHER]
    assert np.bincount(found.group[:-1]).tolist() == [40, 30, 24]
    assert found.group[-1] == -1
    assert not found.left_out
    few = by_attributes(users(work=work[:75]), [])["work"]
    assert few.names == ["clerk", "smith"]
    assert few.left_out == {"cook": 5}


def test_attributes_that_tell_little_are_taken_only_by_name():
    table = users(zip=[f"z{n}" for n in range(100)], sex=["F", "M"] * 50, age=[*range(100)])
    assert list(by_attributes(table, [])) == ["sex", "age"]
    named = by_attributes(table, ["zip"])
    assert list(named) == ["zip"]
    assert named["zip"].names == [OTHER]
    assert by_attributes(table, ["age"])["age"].names == ["0–32", "33–65", "66–99"]
    with pytest.raises(ConfigError, match=r"no attribute 'sexe'.*'sex'.*There are: zip, sex, age"):
        by_attributes(table, ["sexe"])
    with pytest.raises(ConfigError, match="There are: none"):
        by_attributes(pd.DataFrame(index=range(3)), ["age"])
    assert by_attributes(pd.DataFrame(index=range(3)), []) == {}


def test_the_least_size_is_kept():
    assert by_attributes(users(sex=["F"] * LEAST + ["M"] * LEAST), [])["sex"].names == ["F", "M"]
    assert by_attributes(users(sex=["F"] * LEAST + ["M"] * (LEAST - 1)), []) == {}
