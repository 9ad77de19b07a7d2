"""Tables in memory as people have them: names, types, spellings, and what does not fit together."""

import datetime
import decimal
import logging
import uuid

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.errors import DataError

CONFIG = DataConfig(min_user=1, min_item=1)


def read(interactions, **tables):
    return Interactions.from_frames(interactions, config=CONFIG, **tables)


EVENTS = {"user": ["u", "u", "v"], "item": ["a", "b", "a"]}


@pytest.mark.parametrize(
    "names",
    [
        ("user_id", "item_id", "rating", "timestamp"),
        ("userId", "movieId", "rating", "timestamp"),
        ("UserID", "MovieID", "Rating", "Timestamp"),
        ("USER", "Item", "RATING", "Time"),
        ("reviewerID", "asin", "Rating", "unixReviewTime"),
        ("user_id", "parent_asin", "rating", "timestamp"),
        ("User Id", "Item-ID", "Rating", "TIMESTAMP"),
    ],
)
def test_usual_names_are_taken_and_said(names, caplog):
    rows = [("u", "a", 3, 100), ("u", "b", 4, 50)]
    x = read(pd.DataFrame(rows, columns=list(names)))
    assert x.rating.tolist() == [4, 3]
    assert x.time.tolist() == [50, 100]
    (record,) = caplog.records
    for name, meaning in zip(names, ("user", "item", "rating", "time"), strict=True):
        assert name == meaning or f"{name} as {meaning}" in record.message


def test_one_name_twice_takes_the_first_and_names_the_other(caplog):
    table = {**EVENTS, "timestamp": [1, 2, 3], "Timestamp": [3, 2, 1], "stars": [1, 2, 3]}
    x = read(table)
    assert x.time.tolist() == [1, 2, 3]
    text = " ".join(caplog.messages)
    assert "timestamp as time" in text
    assert "Timestamp (looks like the time)" in text
    assert "stars (looks like the rating)" in text
    assert "data.columns={rating: stars}" in text


def test_own_names_and_those_of_the_options_go_first(caplog):
    x = read({**EVENTS, "time": [1, 2, 3], "rating": [5, 5, 5]})
    assert x.time.tolist() == [1, 2, 3]
    assert not caplog.records
    columns = {"user": "user", "time": "when"}
    config = DataConfig(min_user=1, min_item=1, columns=columns)
    table = {**EVENTS, "when": [9, 8, 7], "timestamp": [1, 2, 3]}
    assert Interactions.from_frames(table, config=config).time.tolist() == [8, 9, 7]
    assert "timestamp (looks like the time)" in caplog.text


@pytest.mark.parametrize("column", ["custmer", "0"])
def test_a_column_that_is_named_and_not_there_is_refused(column):
    table = {**EVENTS, "customer": EVENTS["user"]}
    config = DataConfig(min_user=1, min_item=1, columns={"user": column})
    with pytest.raises(DataError, match=f"interactions: no column '{column}'") as error:
        Interactions.from_frames(table, config=config)
    assert ("Did you mean 'customer'" in str(error.value)) == (column == "custmer")


def test_the_names_of_other_tables(caplog):
    items = {"itemId": ["a", "b"], "name": ["A", "B"], "date": ["x", "y"]}
    users = {"UserID": ["u", "v"], "age": ["1", "2"]}
    triples = {"head_id": ["a"], "relation_id": ["by"], "tail_id": ["p"]}
    x = read(EVENTS, items=items, users=users, triples=triples)
    assert x.titles == ["A", "B"]
    assert x.items["date"].tolist() == [["x"], ["y"]]
    assert x.users["age"].tolist() == [["1"], ["2"]]
    assert x.triples.to_numpy().tolist() == [["a", "by", "p"]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series([1, 2]), ["1", "2"]),
        (pd.Series([1.0, 2.0]), ["1", "2"]),
        (pd.Series([1, 1.0], dtype=object), ["1", "1"]),
        (pd.Series([1, "1"], dtype=object), ["1", "1"]),
        (pd.Series([decimal.Decimal("1.00"), 2], dtype=object), ["1", "2"]),
        (pd.Series([b"a", "b"], dtype=object), ["a", "b"]),
        (pd.Series([b"\xc3\xa9", "x"], dtype=object), ["é", "x"]),
        (pd.Series([2**60, 2**60 + 1]), [str(2**60), str(2**60 + 1)]),
        (pd.Series([10**30, 1], dtype=object), [str(10**30), "1"]),
        (pd.Series([2.0**24, 1], dtype="float32"), [str(2**24), "1"]),
        (pd.Series([1, 2], dtype="Int64"), ["1", "2"]),
        (pd.Series([1, 2], dtype="Float64"), ["1", "2"]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
        (pd.Series([1, 2], dtype="category"), ["1", "2"]),
        (pd.Series([np.int8(1), np.uint64(2**63)], dtype=object), ["1", str(2**63)]),
        (pd.Series(["007", "1.0"]), ["007", "1.0"]),
        (pd.Series([uuid.UUID(int=5), "x"], dtype=object), [str(uuid.UUID(int=5)), "x"]),
        (pd.Series(["1", "2"], dtype="string[pyarrow]"), ["1", "2"]),
    ],
)
def test_ids_are_exact_texts(values, expected):
    for key in ("user", "item"):
        other = "item" if key == "user" else "user"
        x = read({key: values, other: ["q", "r"]})
        found = x.user_ids if key == "user" else x.item_ids
        assert set(found) == set(expected)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pd.Series([1.0, 2.0**24 + 2], dtype="float32"), ["row 2", "float32", "int64"]),
        (pd.Series([1.0, 2.0**54]), ["row 2", "float64", "int64"]),
        (pd.Series([1.0, 4096.0], dtype="float16"), ["row 2", "float16", "int64"]),
        (pd.Series([1.0, 1.5]), ["row 2", "1.5", "whole number", "int64"]),
        (pd.Series([1.0, np.inf]), ["row 2", "inf", "int64"]),
        (pd.Series([True, False]), ["row 1", "bool", "int64"]),
        (pd.Series([decimal.Decimal("1.5"), 1], dtype=object), ["row 1", "int64"]),
        (pd.Series([b"\xff", "a"], dtype=object), ["row 1", "UTF-8"]),
        (pd.Series([datetime.date(2020, 1, 1)] * 2, dtype=object), ["row 1", "date", "text"]),
        (pd.Series(pd.to_datetime(["2020-01-01"] * 2)), ["row 1", "Timestamp", "text"]),
        (pd.Series([["a"], ["b"]], dtype=object), ["row 1", "list", "text"]),
        (pd.Series([{"a": 1}] * 2, dtype=object), ["row 1", "dict", "text"]),
        (pd.Series([("a", 1)] * 2, dtype=object), ["row 1", "tuple"]),
        (pd.Series([1 + 2j, 1], dtype=object), ["row 1", "complex"]),
        (pd.Series([decimal.Decimal("NaN"), 1], dtype=object), ["row 1", "empty"]),
        (pd.Series([pd.NaT, 1], dtype=object), ["row 1", "empty"]),
    ],
)
@pytest.mark.parametrize("key", ["user", "item"])
def test_ids_that_are_not_exact_are_refused(values, words, key):
    other = "item" if key == "user" else "user"
    with pytest.raises(DataError) as error:
        read({key: values, other: ["q", "r"]})
    assert all(word in str(error.value) for word in [f"'{key}'", *words]), error.value


@pytest.mark.parametrize(
    "prices",
    [
        [1.5, 2.5],
        pd.Series([1.5, 2], dtype=object),
        pd.Series([decimal.Decimal("1.50"), decimal.Decimal("2")], dtype=object),
        pd.Series([1.5, None], dtype=object),
        pd.Series([1.5, 2.5], dtype="float32"),
        pd.Series([1.5, pd.NA], dtype="Float64"),
    ],
)
def test_fractions_are_no_nodes_and_are_named(prices, caplog):
    x = read(EVENTS, items={"item": ["a", "b"], "price": prices})
    assert list(x.items) == ["title"]
    assert "items: left out" in caplog.text
    assert "price" in caplog.text


@pytest.mark.parametrize(
    "years",
    [
        [1999.0, None],
        pd.Series([1999.0, None], dtype=object),
        pd.Series([decimal.Decimal("1999"), None], dtype=object),
        pd.Series([1999, pd.NA], dtype="Int64"),
        pd.Series([1999, None], dtype=object),
        [["1999"], []],
        [[1999.0], [float("nan")]],
    ],
)
def test_whole_numbers_are_values(years):
    x = read(EVENTS, items={"item": ["a", "b"], "year": years})
    assert x.items["year"].tolist() == [["1999"], []]


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_two_spellings_are_one(caplog):
    interactions = {"user": [NFC, NFD, "u"], "item": [NFC, "b", NFD], "time": [1, 2, 3]}
    items = {"item": [NFD, "b"], "title": ["T", "B"], "genre": [[NFC, NFD], [NFD]]}
    triples = {"head": [NFD], "relation": ["by"], "tail": ["p"]}
    x = read(interactions, items=items, triples=triples, users={"user": [NFD], "age": ["9"]})
    assert sorted(x.user_ids) == [NFC, "u"]
    assert sorted(x.item_ids) == ["b", NFC]
    assert x.titles[x.item_ids.index(NFC)] == "T"
    assert x.items["genre"].tolist() == [[NFC], [NFC]]
    assert x.users["age"].tolist()[x.user_ids.index(NFC)] == ["9"]
    assert x.triples["head"].tolist() == [NFC]
    # Shown as given: the first spelling stays.
    other = read({"user": ["u", "u"], "item": [NFD, "b"]}, items={"item": [NFC], "title": [NFD]})
    assert sorted(other.item_ids) == ["b", NFD]
    assert NFD in other.titles


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (["1.0", "2.0"], ["'1.0'", "decimal point"]),
        (["T1", "T2"], ["'T1'", "case"]),
        (['"t1"', '"t2"'], ["quotes"]),
        (["01", "02"], ["leading zeros"]),
        (["x-1", "x-2"], ["'x-1'"]),
    ],
)
@pytest.mark.parametrize("key", ["item", "user"])
def test_a_table_that_meets_nothing_is_refused(ids, words, key):
    mine = ["t1", "t2"] if "t" in ids[0].lower() else ["1", "2"]
    other = "user" if key == "item" else "item"
    with pytest.raises(DataError) as error:
        read({key: mine, other: ["q", "q"]}, **{f"{key}s": {key: ids, "kind": ["x", "y"]}})
    assert all(word in str(error.value) for word in [repr(mine[0]), "not one", *words])


def test_a_table_that_meets_few_is_named(caplog):
    ids = [f"i{n}" for n in range(20)]
    events = {"user": ["u"] * 20, "item": ids}
    read(events, items={"item": ids[:18], "kind": ["x"] * 18})
    assert not caplog.records
    read(events, items={"item": [*ids[:17], "I18"], "kind": ["x"] * 18})
    (record,) = caplog.records
    for words in ("17 of 20 items", "'i17'", "'I18'", "upper and lower case"):
        assert words in record.message
    caplog.clear()
    # A larger catalogue than the interactions have is nothing to speak of.
    read(events, items={"item": [*ids, *(f"z{n}" for n in range(80))], "kind": ["x"] * 100})
    assert not caplog.records
    read(events, items={"item": [], "kind": []})
    assert not caplog.records


def test_second_rows_with_other_values_are_named(caplog):
    items = {
        "item": ["a", "a", "b", "b"],
        "title": ["A", "Other", "B", "B"],
        "genre": [["x"], ["x"], ["y"], ["y"]],
    }
    x = read(EVENTS, items=items)
    assert x.titles == ["A", "B"]
    (record,) = caplog.records
    for words in ("1 id has", "title", "'a'", "first row"):
        assert words in record.message
    assert "genre" not in record.message
    caplog.clear()
    read(EVENTS, items={"item": ["a", "a", "b"], "title": [None, None, "B"]})
    assert not caplog.records
    read(EVENTS, users={"user": ["u", "u", "v"], "age": [1, 2, 3]})
    assert "the table of users: 1 id has" in caplog.text


def test_triples_that_are_left_out_are_counted_by_reason(caplog):
    rows = [("a", "by", "p"), ("a", "like", "a"), ("u", "friend", "v"), ("v", "friend", "u")]
    rows += [("p", "born", "x"), ("x", "in", "y"), ("p", "is", "p"), ("k", "of", "l")]
    triples = pd.DataFrame(rows, columns=["head", "relation", "tail"])
    with caplog.at_level(logging.WARNING):
        x = read(EVENTS, triples=triples)
    for words in (
        "1 triples join an item with itself",
        "1 triples join an entity with itself",
        "2 triples join two users",
        "1 triples are further than one step from an item",
        "2 triples reach no item",
    ):
        assert words in x.stats["unjoined"]
        assert words in caplog.text


def test_what_the_core_drops_is_known():
    rows = [("u7", f"i{n}") for n in range(3)]
    rows += [(f"v{u}", f"i{n}") for u in range(6) for n in range(6)] + [("v0", "rare")]
    table = pd.DataFrame(rows, columns=["user", "item"])
    titles = {"item": ["rare", *(f"i{n}" for n in range(6))], "title": ["Rare (film)", *"ABCDEF"]}
    x = Interactions.from_frames(table, titles, config=DataConfig())
    assert x.dropped.why_user("u7", 5) == "u7 has 3 interactions, data.min_user is 5"
    assert x.dropped.why_item("rare", 5) == "rare has 1 interaction, data.min_item is 5"
    assert (
        x.dropped.why_item("Rare (film)", 5) == "Rare (film) has 1 interaction, data.min_item is 5"
    )
    assert x.dropped.why_user("v0", 5) == x.dropped.why_user("nobody", 5) == ""


def test_dropped_after_others(tmp_path):
    # Six interactions, but four of them with items that nobody else has.
    rows = [("u", f"own{n}") for n in range(4)] + [("u", "i0"), ("u", "i1")]
    rows += [(f"v{u}", f"i{n}") for u in range(6) for n in range(6)]
    x = Interactions.from_frames(pd.DataFrame(rows, columns=["user", "item"]), config=DataConfig())
    why = x.dropped.why_user("u", 5)
    assert "u has 6 interactions" in why
    assert "data.min_item" in why
    x.dropped.save(tmp_path / "dropped.parquet")
    assert type(x.dropped).load(tmp_path / "dropped.parquet") == x.dropped
    assert type(x.dropped).load(tmp_path / "none.parquet").users == {}


def test_names_that_are_numbers(caplog):
    config = DataConfig(min_user=1, min_item=1, columns={"user": "0", "item": "1"})
    x = Interactions.from_frames(pd.DataFrame([["u", "a"], ["u", "b"]]), config=config)
    assert x.item_ids == ["a", "b"]


def test_nested_values_are_left_out_and_named(caplog):
    items = {
        "item": ["a", "b"],
        "d": [{"x": 1}, None],
        "l": [[["x"]], []],
        "c": [1j, 2],
        "ok": [["x", "y"], "z"],
    }
    x = read(EVENTS, items=items)
    assert x.items["ok"].tolist() == [["x", "y"], ["z"]]
    assert list(x.items) == ["title", "ok"]
    assert "d, l, c" in caplog.text


def test_a_wrong_config_is_refused():
    from lkgrag.errors import ConfigError

    with pytest.raises(ConfigError, match=r"must be a lkgrag\.config\.DataConfig, got dict"):
        Interactions.from_frames(EVENTS, config={"min_user": 1})
