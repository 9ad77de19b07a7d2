import pandas as pd

from lkgrag.report.groups import MOST_GROUPS, MOST_VALUES, groups


def prompts(**columns):
    return pd.DataFrame(columns)


def test_thirds_of_the_history_cover_everybody_once():
    found = groups(prompts(history=[1, 2, 3, 4, 5, 20]))
    lengths = [c for c in found.columns if c.startswith("history")]
    assert len(lengths) == 3
    assert found[lengths].sum(axis=1).tolist() == [1] * 6
    assert lengths[0] == "history 1–2"


def test_histories_of_one_length_are_one_group_at_most():
    found = groups(prompts(history=[5, 5, 5]))
    assert list(found.columns) == ["all"]


def test_few_values_are_groups_and_nobody_is_put_into_one_by_guess():
    found = groups(prompts(history=[1] * 6, user_gender=["F", "M", "F", "M", "F", None]))
    assert found["gender F"].tolist() == [True, False, True, False, True, False]
    assert found["gender M"].sum() == 2


def test_numbers_are_cut_into_thirds():
    ages = [str(18 + n % 20) for n in range(60)]
    found = groups(prompts(history=[1] * 60, user_age=ages))
    columns = [c for c in found.columns if c.startswith("age")]
    assert len(columns) == 3
    assert found[columns].sum(axis=1).tolist() == [1] * 60


def test_the_most_frequent_of_many_values_are_groups_if_they_cover_half():
    work = ["clerk"] * 30 + ["smith"] * 20 + [f"rare{n}" for n in range(15)] * 2
    found = groups(prompts(history=[1] * 80, user_work=work))
    columns = [c for c in found.columns if c.startswith("work")]
    assert columns[:2] == ["work clerk", "work smith"]
    assert len(columns) == MOST_VALUES
    spread = [f"v{n}" for n in range(20)] * 4
    assert list(groups(prompts(history=[1] * 80, user_x=spread)).columns) == ["all"]


def test_what_nearly_everybody_has_of_their_own_makes_no_groups():
    found = groups(prompts(history=[1] * 20, user_zip=[str(n) for n in range(20)]))
    assert list(found.columns) == ["all"]


def test_the_number_of_groups_is_bounded():
    many = {f"user_a{n}": ["x", "y"] * 10 for n in range(40)}
    assert len(groups(prompts(history=range(20), **many)).columns) == MOST_GROUPS
