"""Work that many processes share: the tables of one process, to the last bit, however parts are cut and whoever makes them."""

import tempfile
from pathlib import Path

import pytest
from helpers.large import Apart, frame, many, many_hands, rows, small_duck
from helpers.tables import assert_same, tables_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data.large import make_store, making, split_store
from lkgrag.data.readers.formats import columns
from lkgrag.errors import LkgragError
from lkgrag.kg.large.making import forget_counts, histories_of, make_graph
from lkgrag.paths.large import map_paths
from lkgrag.retrieval.large import write_itemitem


def count(hands, data, kg, folder):
    """All that ``lkgrag.count`` writes; the error where the data are refused."""
    try:
        store = make_store(hands, data, folder)
        training = split_store(hands, store, data)
    except LkgragError as error:
        return error
    graph = make_graph(hands, store, training, kg, folder / "graph")
    write_itemitem(hands, histories_of(hands, store, training), folder / "itemitem")
    map_paths(hands, graph, folder / "paths")
    forget_counts(store)
    return None


@settings(max_examples=12, deadline=None)
@given(
    rows,
    st.sampled_from(["first", "last", "keep"]),
    st.sampled_from(["leave_one_out", "rolling"]),
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_tables_do_not_depend_on_how_the_work_is_divided(
    values, duplicates, split, temporal, least, core, size, seed
):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        frame(values).to_parquet(folder / "events.parquet", index=False, row_group_size=7)
        data = DataConfig(
            root=str(folder / "events.parquet"),
            duplicates=duplicates,
            split=split,
            min_user=core,
            min_item=core,
        )
        kg = KGConfig(temporal=temporal, behaviour_min=least, co_rated_top=2)
        patch.setattr(columns, "BATCH", 16)
        with small_duck(folder) as duck:
            refused = count(duck, data, kg, folder / "one")
        patch.setattr(making, "PIECE", 32)
        with many_hands(folder, size, seed) as hands:
            again = count(hands, data, kg, folder / "many")
        assert str(again) == str(refused)
        if refused is None:
            assert_same(tables_of(folder / "many"), tables_of(folder / "one"))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "inter"])
def test_files_of_every_kind_are_divided_or_read_as_a_whole(tmp_path, monkeypatch, suffix):
    folder = tmp_path / "shop"
    folder.mkdir()
    table = many(1, 900)
    if suffix == "inter":
        header = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
        table.set_axis(header, axis=1).to_csv(folder / "shop.inter", sep="\t", index=False)
    elif suffix == "csv":
        table.to_csv(folder / "shop.csv", index=False)
    else:
        (folder / "shop.parquet").mkdir()
        for number in range(3):
            some = table[number * 300 : number * 300 + 300]
            some.to_parquet(
                folder / "shop.parquet" / f"{number}.parquet", index=False, row_group_size=70
            )
    data, kg = DataConfig(name="shop", root=str(folder), min_rating=2.0), KGConfig()
    with small_duck(tmp_path) as duck:
        assert count(duck, data, kg, tmp_path / "one") is None
    monkeypatch.setattr(columns, "BATCH", 64)
    monkeypatch.setattr(making, "PIECE", 128)
    with many_hands(tmp_path) as hands:
        assert count(hands, data, kg, tmp_path / "many") is None
    assert_same(tables_of(tmp_path / "many"), tables_of(tmp_path / "one"))


def test_a_broken_value_has_the_row_of_the_whole_file(tmp_path, monkeypatch):
    table = many(3, 300)
    table["rating"] = table["rating"].map(str)
    table.loc[200, "rating"] = "much"
    table.to_parquet(tmp_path / "events.parquet", index=False)
    monkeypatch.setattr(columns, "BATCH", 64)
    monkeypatch.setattr(making, "PIECE", 64)
    data = DataConfig(root=str(tmp_path / "events.parquet"))
    with many_hands(tmp_path) as hands:
        refused = count(hands, data, KGConfig(), tmp_path / "many")
    assert "row 201, field 'rating'" in str(refused)
    assert not list((tmp_path / "many" / "sequences").glob("*"))


class Stopped(Apart):
    """Hands that are stopped before a part, at each part once."""

    def __init__(self, hands, after):
        super().__init__(hands.duck, hands.others, hands.rows)
        self.after = after

    def do(self, words, tasks):
        for task in tasks:
            if not task.out.exists():
                if self.after == 0:
                    raise KeyboardInterrupt
                self.after -= 1
                super().do(words, [task])
        return [task.out for task in tasks]


def test_work_that_is_stopped_at_any_part_goes_on_with_any_hands(tmp_path):
    many(4, 500).to_parquet(tmp_path / "events.parquet", index=False)
    data, kg = DataConfig(root=str(tmp_path / "events.parquet")), KGConfig(temporal=True)
    with small_duck(tmp_path) as duck:
        count(duck, data, kg, tmp_path / "one")
    stops = 0
    with many_hands(tmp_path, 60) as hands:
        while True:
            try:
                # Parts are made by one process or by many, in turns.
                turn = hands.duck if stops % 5 == 4 else Stopped(hands, 2 + stops % 4)
                count(turn, data, kg, tmp_path / "many")
                break
            except KeyboardInterrupt:
                stops += 1
    assert stops > 3
    assert_same(tables_of(tmp_path / "many"), tables_of(tmp_path / "one"))
