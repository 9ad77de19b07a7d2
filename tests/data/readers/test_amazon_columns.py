"""Ratings of Amazon without a header: which column holds the users."""

import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import read_tables
from lkgrag.errors import ConfigError, DataError

T = 1_400_000_000


def read(folder, **options):
    config = DataConfig(root=str(folder), **{"name": "x", "min_user": 1, "min_item": 1, **options})
    return Interactions.from_tables(read_tables(config)[0], config)


def write(folder, users, items, order, name="ratings_X.csv", meta=()):
    pairs = [(u, i) for u in users for i in items]
    rows = [f"{(u, i)[order[0]]},{(u, i)[order[1]]},5.0,{T}\n" for u, i in pairs]
    (folder / name).write_text("".join(rows))
    for item in meta:
        with open(folder / "meta_X.json", "a") as file:
            file.write(f'{{"asin": "{item}", "title": "T {item}"}}\n')


ASINS, ISBNS = ["B00004Y2UT", "B01HJFB3AU"], ["0132793040", "043935806X"]
USERS = ["A1RSDE90N6RSZF", "A2SUAM1J3GNN3B", "#oc-R11DNU2NBKQ23Z"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("users", "items"),
    [
        (USERS, ASINS),
        (USERS, ISBNS),
        (USERS, ASINS + ISBNS),
        # Only one side has a known shape.
        (["ann", "bo"], ASINS),
        (USERS[:2], ["mug", "tea"]),
        # Counts: more than twice as many users as items.
        ([f"u{n}" for n in range(5)], ["x", "y"]),
    ],
)
def test_the_order_is_found(tmp_path, users, items, order):
    write(tmp_path, users, items, order)
    x = read(tmp_path)
    assert set(x.user_ids) == set(users)
    assert set(x.item_ids) == set(items)
    assert ("notes" in x.stats) == (order == (1, 0))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_metadata_tell(tmp_path, order):
    write(tmp_path, ["u", "v"], ["x", "y", "z"], order, meta=["x", "y"])
    assert read(tmp_path).titles == ["T x", "T y", "z"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_doubtful_is_refused_until_an_option_decides(tmp_path, order):
    write(tmp_path, ["u", "v"], ["x", "y", "z"], order)
    with pytest.raises(
        DataError, match=r"ratings_X\.csv: which column holds the users.*data\.columns="
    ):
        read(tmp_path)
    places = {"user": str(order.index(0) + 1), "item": str(order.index(1) + 1)}
    assert read(tmp_path, columns=places).user_ids == ["u", "v"]
    assert read(tmp_path, columns={"item": places["item"]}).user_ids == ["u", "v"]
    with pytest.raises(
        ConfigError, match=r"data\.columns: files of the reader 'amazon' have fixed columns"
    ):
        read(tmp_path, columns={"user": "who"})


def test_metadata_of_other_items_are_named(tmp_path):
    write(tmp_path, ["u", "v"], ["x", "y"], (0, 1), meta=["q"])
    with pytest.raises(DataError, match=r"meta_X\.json: describes no item of the ratings"):
        read(tmp_path)


def test_a_file_of_several_is_picked_by_name_or_root(tmp_path):
    write(tmp_path, USERS, ASINS, (1, 0), "All_Beauty.csv")
    write(tmp_path, USERS[:2], ISBNS, (1, 0), "Books.csv")
    with pytest.raises(
        DataError, match=r"several files match .*(All_Beauty\.csv, Books\.csv).*data\.root"
    ):
        read(tmp_path)
    assert read(tmp_path, name="amazon-books").num_users == 2
    assert read(tmp_path, name="amazon-all-beauty-2018").num_users == 3
    assert read(tmp_path / "Books.csv").num_users == 2


def test_milliseconds_become_seconds_and_seconds_stay(tmp_path):
    head = "user_id,parent_asin,rating,timestamp\n"
    (tmp_path / "X.csv").write_text(head + f"u,a,5.0,{T}123\nu,b,5.0,{T + 1}000\n")
    assert read(tmp_path).time.tolist() == [T + 0.123, T + 1]
    assert read(tmp_path, time_unit="ms").time.tolist() == pytest.approx([T + 0.123, T + 1])
    (tmp_path / "X.csv").write_text(head + f"u,a,5.0,{T}\nu,b,5.0,{T + 1}\n")
    assert read(tmp_path).time.tolist() == [T, T + 1]
    (tmp_path / "X.csv").write_text(head + f"u,a,5.0,{T}123\nu,b,5.0,soon\n")
    with pytest.raises(DataError, match="line 3, field 'timestamp': 'soon'"):
        read(tmp_path)
