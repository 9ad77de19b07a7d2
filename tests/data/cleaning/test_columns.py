import datetime
import re

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.cleaning.columns import ids, numbers, times
from lkgrag.errors import ConfigError, DataError

SECOND = 1_427_803_200  # 2015-03-31T12:00:00Z


def seconds(values, unit="s"):
    return times(pd.Series(values), "f.csv", "ts", unit).tolist()


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("s", SECOND),
        ("ms", SECOND * 1000),
        ("us", str(SECOND * 1_000_000)),
        ("ns", SECOND * 10**9),
        ("date", "2015-03-31T12:00:00"),
        ("date", "2015-03-31T14:00:00+02:00"),
        ("s", pd.Timestamp("2015-03-31 12:00")),
        ("s", datetime.datetime(2015, 3, 31, 12)),
    ],
)
def test_every_unit_gives_seconds(unit, value):
    assert seconds([value], unit) == [pytest.approx(SECOND)]


def test_days_and_gaps():
    assert seconds(["2015-03-31", "", None], "date")[0] == SECOND - 12 * 3600
    assert np.isnan(seconds(["2015-03-31", "", None], "date")[1:]).all()
    assert seconds(["7", "-3", "1e300"], "any") == [7, -3, 1e300]


@pytest.mark.parametrize(
    ("unit", "values", "words"),
    [
        ("s", [1, SECOND * 1000], ["row 2", "'ts'", "not between 1970 and 2099", "time_unit=ms"]),
        ("s", [SECOND * 10**9], ["time_unit=ns"]),
        ("s", [-5], ["row 1", "time_unit=any"]),
        ("s", ["2015-03-31"], ["'2015-03-31'", "seconds", "time_unit=date"]),
        ("ms", [SECOND], ["all times lie in 1970", "time_unit=s"]),
        ("date", ["31.3.2015"], ["'31.3.2015'", "no date"]),
        ("date", [SECOND], ["no date", "time_unit"]),
        ("date", ["1815-03-31"], ["not between 1970 and 2099"]),
        ("date", ["2015-03-31", "0201-03-31"], ["row 2", "'ts'", "not between 1970 and 2099"]),
        ("date", ["3015-03-31"], ["'3015-03-31'", "not between 1970 and 2099", "leave it empty"]),
        ("s", [datetime.date(3015, 3, 31)], ["not between 1970 and 2099"]),
    ],
)
def test_a_time_in_the_wrong_unit_names_the_right_one(unit, values, words):
    with pytest.raises(DataError) as error:
        seconds(values, unit)
    assert all(word in str(error.value) for word in ["f.csv", *words]), str(error.value)
    assert "\n" not in str(error.value)


def test_ids_are_texts_and_never_empty():
    assert ids(pd.Series([1.0, 2.0]), "f", "user").tolist() == ["1", "2"]
    assert ids(pd.Series([" a ", 3], dtype=object), "f", "user").tolist() == ["a", "3"]
    # Halves of surrogate pairs are spelled out: ids that differ stay apart.
    halves = pd.Series(["a\ud800", "a\ud801"], dtype=object)
    assert ids(halves, "f", "user").tolist() == ["a\\ud800", "a\\ud801"]
    for empty in ("", " ", None, float("nan")):
        with pytest.raises(DataError, match="row 2, field 'user'"):
            ids(pd.Series(["a", empty], dtype=object), "f", "user")


def test_columns_of_other_names():
    rows = {"uid": ["u", "u"], "iid": ["a", "b"], "score": [1, 2], "item": ["not", "it"]}
    columns = {"user": "uid", "item": "iid", "rating": "score", "title": "label"}
    config = DataConfig(min_user=1, min_item=1, columns=columns)
    x = Interactions.from_frames(rows, {"item": ["a", "b"], "label": ["A", "B"]}, config=config)
    assert x.titles == ["A", "B"]
    assert x.rating.tolist() == [1, 2]
    with pytest.raises(DataError, match=r"no column 'score'.*'scor'"):
        Interactions.from_frames({"uid": ["u"], "iid": ["a"], "scor": [1]}, config=config)
    with pytest.raises(ConfigError, match=r"no meaning 'usr'.*'user'"):
        Interactions.from_frames(rows, config=DataConfig(columns={"usr": "uid"}))


class Columns:
    """A table of no known library."""

    columns = ("user", "item")

    def __getitem__(self, name):
        return iter({"user": [1, 1], "item": [3, 4]}[name])


def test_tables_of_other_libraries():
    import pyarrow as pa

    rows = {"user": [1, 1], "item": [3, 4]}
    config = DataConfig(min_user=1, min_item=1)
    tables = [rows, pd.DataFrame(rows), pa.table(rows), Columns()]
    tables.append([{"user": 1, "item": 3}, {"user": 1, "item": 4}])
    for table in tables:
        assert Interactions.from_frames(table, config=config).item_ids == ["3", "4"]
    for bad in (3, "text", {"user": [1], "item": [1, 2]}, None):
        with pytest.raises(DataError, match="interactions"):
            Interactions.from_frames(bad, config=config)


def test_columns_of_one_name_or_of_several_levels_are_refused():
    rows = pd.DataFrame({"user": ["u", "u"], "item": ["a", "b"]})
    config = DataConfig(min_user=1, min_item=1)
    with pytest.raises(DataError, match="interactions: the column 'user' is there twice"):
        Interactions.from_frames(pd.concat([rows, rows["user"]], axis=1), config=config)
    items = pd.DataFrame([["a", "x", "y"]], columns=["item", 1, "1"])
    with pytest.raises(DataError, match="items: the column '1' is there twice"):
        Interactions.from_frames(rows, items, config=config)
    levels = pd.DataFrame(
        [["u", "a"]], columns=pd.MultiIndex.from_product([["x"], ["user", "item"]])
    )
    with pytest.raises(
        DataError, match=r"interactions: the columns have 2 levels, as \('x', 'user'\)"
    ):
        Interactions.from_frames(levels, config=config)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, 1e39], "'1e+39' is too large"),
        ([1.0, 10**400], "is not a finite number"),
        ([1.0, float("inf")], "'inf' is not a finite number"),
        ([True, False], "'True' is not a finite number"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_numbers_that_32_bits_do_not_hold(values, words):
    with pytest.raises(DataError, match=re.escape(words)):
        numbers(pd.Series(values), "f", "rating")


def test_a_truth_value_is_no_time():
    with pytest.raises(DataError, match="'True' is no number of seconds"):
        times(pd.Series([True, True]), "f", "time", "s")


@pytest.mark.filterwarnings("error")
def test_infinite_ids_are_refused_without_a_warning():
    with pytest.raises(DataError, match="no whole number"):
        ids(pd.Series([1.0, float("inf")]), "f", "user")
