"""Sequences that are put together from rows of a history and the next item."""

import random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import read_tables
from lkgrag.data.readers.histories import Histories, listed_history
from lkgrag.errors import DataError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("['a', 'b c']", ["a", "b c"]),
        ("[1, 2]", ["1", "2"]),
        ("[1 2", ["[1", "2"]),
        ("[a, b]", ["a", "b"]),
        ([1, None, " x "], ["1", "x"]),
        ("", []),
        (None, []),
        (float("nan"), []),
    ],
)
def test_a_history_is_a_list_or_text(value, expected):
    assert listed_history(value) == expected


def restored(rows):
    """The items of each user, of rows ``(user, history, item)``."""
    histories = Histories()
    histories.add([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    events = pd.DataFrame(
        {"user": [r[0] for r in rows], "item": [r[2] for r in rows]}, dtype=object
    )
    whole, _ = histories.restore(events)
    return {u: g["item"].tolist() for u, g in whole.groupby("user", sort=False)}


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.integers(2, 12), st.integers(1, 12), st.integers(0, 10**6), st.booleans())
def test_windows_in_any_order_give_the_sequence(length, window, seed, is_shuffled):
    rng = random.Random(seed)
    sequences = {u: rng.sample([f"i{n}" for n in range(20)], length) for u in ("u", "v")}
    rows = [
        (u, items[max(0, n - window) : n], items[n])
        for u, items in sequences.items()
        for n in range(1, length)
    ]
    # Rows of a file stand in any order only where each reaches back to the first item.
    if is_shuffled and window >= length:
        rng.shuffle(rows)
    assert restored(rows) == sequences


def test_the_last_row_alone_gives_all():
    assert restored([("u", ["a", "b"], "c")]) == {"u": ["a", "b", "c"]}
    # Rows may reach further to both sides of what is known.
    assert restored([("u", ["b"], "c"), ("u", ["a", "b", "c"], "d")]) == {"u": ["a", "b", "c", "d"]}
    assert restored([("u", ["a"], "a"), ("u", ["a", "a"], "a")]) == {"u": ["a", "a", "a"]}


HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token\ttimestamp:float"


def read(folder, **options):
    config = DataConfig(
        **{"name": "x", "root": str(folder), "min_user": 1, "min_item": 1, **options}
    )
    return Interactions.from_tables(read_tables(config)[0], config)


def test_times_of_histories_are_kept(tmp_path):
    (tmp_path / "x.train.inter").write_text(
        HEADER + "\ttimestamp_list:float_seq\nu\tb a\tc\t30\t10 20\nu\tb a c\td\t40\t10 20 30\n"
    )
    x = read(tmp_path)
    assert [x.item_ids[i] for i in x.item] == ["b", "a", "c", "d"]
    assert x.time.tolist() == [10, 20, 30, 40]
    assert x.stats["notes"] == ["2 interactions come from histories alone"]


def test_items_without_a_time_keep_their_place(tmp_path):
    (tmp_path / "x.inter").write_text(HEADER + "\nu\tb a\tc\t30\n")
    x = read(tmp_path)
    assert [x.item_ids[i] for i in x.item] == ["b", "a", "c"]
    # Here a later one has no time, so that times cannot order them.
    (tmp_path / "x.inter").write_text(HEADER + "\nu\tb a\tc\t30\nu\tb a c d\te\t\n")
    x = read(tmp_path)
    assert [x.item_ids[i] for i in x.item] == ["b", "a", "c", "d", "e"]
    assert all(t != t for t in x.time)


def test_a_broken_value_in_a_part_is_named_with_its_file_and_line(tmp_path):
    head = "user_id:token\titem_id:token\trating:float\n"
    (tmp_path / "x.train.inter").write_text(head + "u\ta\t1\n")
    (tmp_path / "x.test.inter").write_text(head + "u\tb\t1\n\nu\tc\tx\n")
    with pytest.raises(DataError, match=r"x\.test\.inter: line 4, field 'rating': 'x'"):
        read(tmp_path)
    (tmp_path / "x.test.inter").write_text(head + "u\tb\t1\n\t\t1\n")
    with pytest.raises(
        DataError, match=r"x\.test\.inter: line 3, field 'user_id': the id is empty"
    ):
        read(tmp_path)


def test_a_session_is_a_user_where_the_options_say_so(tmp_path):
    (tmp_path / "x.train.inter").write_text(
        "session_id:token\titem_id_list:token_seq\titem_id:token\ns\ta\tb\n"
    )
    with pytest.raises(DataError, match=r"'user_id'.*data\.columns"):
        read(tmp_path)
    assert len(read(tmp_path, columns={"user": "session_id"})) == 2
