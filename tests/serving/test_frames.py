"""Rankings as tables, and users as tables have them."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lkgrag.errors import ConfigError, DataError
from lkgrag.serving.frames import SCHEMA, asked_users, frame_of
from lkgrag.serving.recommendation import (
    PathExplanation,
    RankedItem,
    Recommendation,
    Recommendations,
)

polars = pytest.importorskip("polars")


def ranking(user, number=2, title="Heat"):
    path = PathExplanation("seen next\nby 3", 1.5, [["item", "a"], ["item", "b"]], ["followed_by"])
    items = [
        RankedItem(
            n + 1, f"i{n}", title, 1.0 - n, 0.25, 0.5, 0.25 - n, [path, path], 0.0, "asked: x"
        )
        for n in range(number)
    ]
    return Recommendation(items, [("3", "H")], user)


def test_a_table_has_a_row_for_each_user_and_rank():
    table = Recommendations([ranking("u"), ranking(None, 1)]).to_frame()
    assert list(table.columns) == SCHEMA.names
    assert table["user"].isna().tolist() == [False, False, True]
    assert table["rank"].tolist() == [1, 2, 1]
    assert table["item"].tolist() == ["i0", "i1", "i0"]
    assert (table[["lm", "scorer", "prior", "request"]].sum(axis=1) == table["score"]).all()
    assert table["explanation"].unique().tolist() == ["asked: x; seen next by 3; seen next by 3"]


@pytest.mark.parametrize("rankings", [[], [ranking("u", 0)]])
def test_an_empty_table_has_its_columns_and_types(rankings):
    found = Recommendations(rankings)
    assert found.to_frame("arrow").schema == SCHEMA
    assert found.to_frame()["score"].dtype == "float64"
    assert found.to_frame("polars").schema["rank"] == polars.Int64


def test_the_kinds_hold_the_same():
    found = Recommendations([ranking("u"), ranking("v")])
    expected = found.to_frame("arrow").to_pylist()
    assert found.to_frame("polars").to_dicts() == expected
    assert found.to_frame().to_dict("records") == expected
    assert found[0].to_frame("arrow").to_pylist() == expected[:2]
    for wrong in ("excel", None, 3, ["pandas"]):
        with pytest.raises(ConfigError, match="frame: must be one of pandas, polars, arrow"):
            found.to_frame(wrong)


def test_a_title_with_half_a_character_can_be_written():
    assert (
        Recommendations([ranking("u", title="a\ud800b")]).to_frame("arrow")[3][0].as_py() == "a?b"
    )


def test_rankings_are_a_list():
    first, second = ranking("u"), ranking("v")
    found = Recommendations([first, second])
    assert found == [first, second]
    assert found[0] is first
    assert found[-1] is second
    assert isinstance(found[:1], Recommendations)
    assert found[:1] == [first]
    assert [r.user for r in found] == ["u", "v"]


INTS = [7, 9, 7]
COLUMNS = {
    "list": INTS,
    "tuple": tuple(INTS),
    "numpy": np.array(INTS, np.int32),
    "numpy ints": [np.int64(7), np.uint8(9), 7],
    "series": pd.Series(INTS, index=[5, 5, 5], name="who"),
    "index": pd.Index(INTS, name="who"),
    "nullable": pd.Series(INTS, dtype="Int64"),
    "arrow-backed": pd.Series(INTS, dtype="int64[pyarrow]"),
    "category": pd.Series(INTS, dtype="category"),
    "float": pd.Series([7.0, 9.0, 7.0]),
    "frame": pd.DataFrame({"user_id": INTS, "n": 1}),
    "one column": pd.DataFrame({"any": INTS}),
    "polars": polars.Series("x", INTS, dtype=polars.UInt32),
    "polars frame": polars.DataFrame({"n": [1, 2, 3], "userId": INTS}),
    "polars lazy": polars.DataFrame({"user": INTS}).lazy(),
    "arrow": pa.array(INTS, pa.int16()),
    "chunks": pa.chunked_array([[7], [9, 7]]),
    "table": pa.table({"user": INTS, "n": INTS}),
    "scalars": list(pa.array(INTS)),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_users_of_any_kind_count_once_and_keep_their_type(kind):
    asked = asked_users(COLUMNS[kind])
    assert asked.ids == ["7", "9"]
    rankings = [ranking(user, 2) for user in asked.ids]
    table = frame_of(rankings, asked.frame, asked)
    column = table["user"].to_pylist() if asked.frame == "arrow" else table["user"].to_list()
    assert column == [7, 7, 9, 9]
    for frame in ("pandas", "polars", "arrow"):
        other = frame_of(rankings, frame, asked)
        assert len(other) == 4
        assert [str(v) for v in other["user"]][::2] in (["7", "9"], ["7.0", "9.0"])


def test_the_type_of_a_column_stays():
    for given in ("nullable", "arrow-backed", "category", "float"):
        asked = asked_users(COLUMNS[given])
        table = frame_of([ranking(u) for u in asked.ids], "pandas", asked)
        assert table["user"].dtype == COLUMNS[given].dtype
    asked = asked_users(COLUMNS["polars"])
    table = frame_of([ranking(u) for u in asked.ids], "polars", asked)
    assert table.schema["user"] == polars.UInt32
    joined = polars.DataFrame({"user": COLUMNS["polars"]}).join(table, on="user")
    assert len(joined) == 6
    for kind in (polars.Categorical, polars.Enum(["a", "b"])):
        asked = asked_users(polars.Series(["a", "b"], dtype=kind))
        table = frame_of([ranking(u) for u in asked.ids], "polars", asked)
        assert table.schema["user"] == kind
        assert len(frame_of([ranking(u) for u in asked.ids], "pandas", asked)) == 4
    asked = asked_users(pa.array(["a", "b"]).dictionary_encode())
    assert asked.ids == ["a", "b"]
    table = frame_of([ranking(u) for u in asked.ids], "arrow", asked)
    assert pa.types.is_dictionary(table.schema.field("user").type)


def test_ids_that_are_no_numbers_are_texts():
    for users in (["7", "9"], [7, "9"], [7.0, Decimal(9)], [2**70, 9], np.array(["7", "9"])):
        asked = asked_users(users)
        table = frame_of([ranking(u) for u in asked.ids], "pandas", asked)
        assert all(isinstance(value, str) for value in table["user"]), users


def test_a_path_is_a_file_of_users(tmp_path):
    (tmp_path / "u.csv").write_text("user\n7\n9\n7\n")
    assert asked_users(tmp_path / "u.csv").ids == ["7", "9"]


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ("7", "must be a list"),
        (7, "must be a list"),
        ({"user": [7]}, "must be a list"),
        ([], "the list is empty"),
        (pd.Series([], dtype="int64"), "the list is empty"),
        (polars.Series([], dtype=polars.String), "the list is empty"),
        ([7, None], "element 2 is empty"),
        (pd.Series([7, np.nan]), "element 2 is empty"),
        (polars.Series([7, None]), "element 2 is empty"),
        (pa.array([7, None]), "element 2 is empty"),
        ([7.5], "element 1, 7.5, is no whole number"),
        ([True], "element 1, True, is a bool"),
        ([["7"]], "element 1"),
        (np.array([[7]]), "several dimensions"),
        (pd.DataFrame({"a": [1], "b": [2]}), "no column is known as the user. Columns there: a, b"),
        (polars.DataFrame({"a": [1], "b": [2]}), "no column is known as the user"),
        (pa.table({"a": [1], "b": [2]}), "no column is known as the user"),
        (pd.DataFrame([[1, 2]], columns=["user", "user"]), "there twice"),
        (pd.DataFrame(), "no column is known as the user. Columns there: none"),
        (pd.MultiIndex.from_tuples([(1, 2)]), "element 1"),
    ],
)
def test_what_are_no_users_is_one_line(users, message):
    with pytest.raises(DataError, match=message) as error:
        asked_users(users)
    assert str(error.value).startswith("users")
    assert "\n" not in str(error.value)


def test_without_polars_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(ConfigError, match=r'pip install "lkgrag\[polars\]"'):
        Recommendations([ranking("u")]).to_frame("polars")
