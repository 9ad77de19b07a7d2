import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions, natural_order
from lkgrag.errors import DataError

LOOSE = {"min_user": 1, "min_item": 1}


def events(rows):
    return pd.DataFrame(rows, columns=["user", "item", "rating", "time"])


def test_sequences_are_in_time_order_and_ids_in_natural_order():
    x = Interactions.from_frames(
        events([("u10", "b", 1, 3), ("u2", "a", 2, 9), ("u10", "a", 3, 1), ("u10", "c", 4, 2)]),
        config=DataConfig(**LOOSE),
    )
    assert x.user_ids == ["u10", "u2"]
    assert [x.item_ids[i] for i in x.sequence(0)] == ["a", "c", "b"]
    assert x.rating[:3].tolist() == [3, 4, 1]
    assert natural_order(["10", "9", "a", "1"]) == ["1", "9", "10", "a"]


def test_ties_do_not_depend_on_the_order_of_the_file_but_on_the_seed():
    rows = [("u", str(i), 1, 5) for i in range(50)]
    first = Interactions.from_frames(events(rows), config=DataConfig(**LOOSE))
    second = Interactions.from_frames(events(rows[::-1]), config=DataConfig(**LOOSE))
    other = Interactions.from_frames(events(rows), config=DataConfig(**LOOSE, tie_seed=1))
    assert np.array_equal(first.item, second.item)
    assert not np.array_equal(first.item, other.item)
    assert not np.array_equal(first.item, np.sort(first.item))
    by_id = Interactions.from_frames(events(rows[::-1]), config=DataConfig(**LOOSE, ties="id"))
    assert by_id.item.tolist() == list(range(50))
    by_file = Interactions.from_frames(events(rows[::-1]), config=DataConfig(**LOOSE, ties="file"))
    assert by_file.item.tolist() == list(range(50))[::-1]
    assert first.stats["tied_last_two"] == 1.0


def test_without_times_the_file_decides():
    x = Interactions.from_frames(
        {"user": ["u"] * 3, "item": ["c", "a", "b"]}, config=DataConfig(**LOOSE)
    )
    assert [x.item_ids[i] for i in x.item] == ["c", "a", "b"]
    assert np.isnan(x.rating).all()
    assert x.stats["tied_last_two"] is None


def test_what_has_no_time_comes_first_in_the_order_of_the_file():
    untimed = [str(i) for i in range(20, 0, -1)]
    rows = [("u", "b", 1, 9), *(("u", i, 1, None) for i in untimed), ("u", "a", 1, 8)]
    for ties in ("hash", "id"):
        x = Interactions.from_frames(events(rows), config=DataConfig(**LOOSE, ties=ties))
        assert [x.item_ids[i] for i in x.item] == [*untimed, "a", "b"]


def test_core_is_taken_until_nothing_changes():
    # Item z has one event; without it user w has one event, then item y has one, and so on.
    rows = [("u", "x", 1, 1), ("v", "x", 1, 1), ("u", "y", 1, 2), ("v", "y", 1, 2)]
    rows += [("w", "z", 1, 1), ("w", "y", 1, 2)]
    x = Interactions.from_frames(events(rows), config=DataConfig(min_user=2, min_item=2))
    assert x.user_ids == ["u", "v"]
    with pytest.raises(DataError, match="no user is left of 3"):
        Interactions.from_frames(events(rows), config=DataConfig(min_user=9))


@pytest.mark.parametrize(
    ("rule", "kept"), [("first", [1.0]), ("last", [2.0]), ("keep", [1.0, 2.0])]
)
def test_duplicates(rule, kept):
    rows = [("u", "x", 2, 9), ("u", "x", 1, 3)]
    x = Interactions.from_frames(events(rows), config=DataConfig(**LOOSE, duplicates=rule))
    assert x.rating.tolist() == kept


def test_duplicates_can_be_refused_and_low_ratings_dropped():
    rows = [("u", "x", 2, 9), ("u", "x", 1, 3)]
    with pytest.raises(DataError, match=r"row 2: user 'u' has item 'x' twice \(first in row 1\)"):
        Interactions.from_frames(events(rows), config=DataConfig(**LOOSE, duplicates="error"))
    x = Interactions.from_frames(
        events([("u", "x", 2, 9), ("u", "y", 1, 3), ("u", "z", None, 4)]),
        config=DataConfig(**LOOSE, min_rating=2),
    )
    assert sorted(x.item_ids) == ["x", "z"]
    with pytest.raises(DataError, match="no rating reaches"):
        Interactions.from_frames(events(rows), config=DataConfig(**LOOSE, min_rating=9))
    unrated = {"user": ["u"], "item": ["x"]}
    with pytest.raises(DataError, match="no interaction has a rating"):
        Interactions.from_frames(unrated, config=DataConfig(**LOOSE, min_rating=1))
    with pytest.raises(DataError, match="no item has a title"):
        Interactions.from_frames(unrated, config=DataConfig(**LOOSE, untitled="drop"))


def test_a_bad_value_is_named():
    with pytest.raises(DataError, match=r"row 2, field 'rating': 'five'"):
        Interactions.from_frames(events([("u", "x", "1", 1), ("u", "y", "five", 2)]))
    with pytest.raises(DataError, match="no column 'item'"):
        Interactions.from_frames({"user": ["u"], "itm": ["x"]})


def test_attributes_and_titles_follow_the_items():
    x = Interactions.from_frames(
        events([("u", "b", 1, 1), ("u", "a", 1, 2)]),
        items={
            "item": ["a", "q", "b"],
            "title": ["A!", "Q", None],
            "genre": [["g", "h"], "g", "g"],
        },
        config=DataConfig(**LOOSE),
    )
    assert x.item_ids == ["a", "b"]
    assert x.titles == ["A!", "b"]
    assert x.items["genre"].tolist() == [["g", "h"], ["g"]]


def test_numbers_with_fractions_make_no_nodes_and_years_stay_whole():
    x = Interactions.from_frames(
        events([("u", "b", 1, 1), ("u", "a", 1, 2)]),
        items={
            "item": ["a", "b"],
            "year": [1999.0, None],
            "price": [2.5, 3.0],
            "pages": [7, 8],
            "far": [1e300, 1],
        },
        users={"user": ["u"], "age": [31.0], "weight": [float("inf")]},
        config=DataConfig(**LOOSE),
    )
    assert x.items["year"].tolist() == [["1999"], []]
    assert x.items["pages"].tolist() == [["7"], ["8"]]
    assert list(x.items.columns) == ["title", "year", "pages"]
    assert x.users["age"].tolist() == [["31"]]
    assert list(x.users.columns) == ["age"]
