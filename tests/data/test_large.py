"""Interactions by queries: equal to those in memory to the last bit, whole or not at all, and begun work goes on."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.large import frame, many, rows, small_duck
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.interactions import natural_order
from lkgrag.data.large import Store, make_store, sequences, split_store, splitting
from lkgrag.data.large.coding import ORDER, count_groups, sort_keys
from lkgrag.data.readers import read_tables
from lkgrag.data.splits import make_split
from lkgrag.errors import ConfigError, DataError, LkgragError, RunError

COLUMNS = ("indptr", "item", "rating", "time")
#: Bytes that make parts of about ten interactions.
FEW = 1600


def told(make):
    """A result, or the error that it was refused with."""
    try:
        return make()
    except LkgragError as error:
        return error


def in_memory(config):
    """The interactions of the arrays, or the error."""
    return told(lambda: Interactions.from_tables(read_tables(config)[0], config))


def assert_same(store, want):
    got = store.read()
    assert got.user_ids == want.user_ids
    assert got.item_ids == want.item_ids
    for name in COLUMNS:
        ours, theirs = getattr(got, name), getattr(want, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    assert got.stats == {key: want.stats[key] for key in got.stats}
    assert got.items.equals(want.items)
    assert got.users.equals(want.users)


def assert_same_split(duck, store, want, config):
    split = told(lambda: make_split(want, config))
    if isinstance(split, LkgragError):
        with pytest.raises(type(split)) as refused:
            split_store(duck, store, config)
        assert str(refused.value) == str(split)
        return
    files = split_store(duck, store, config)
    training = pa.concat_tables([pq.read_table(path) for path in files])
    mask = split.train_mask(want)
    for name in ("user", "item", "position", "rating", "time"):
        np.testing.assert_array_equal(training[name].to_numpy(), getattr(want, name)[mask])
    after = split.train_end[want.user] - want.position - 1
    np.testing.assert_array_equal(training["after"].to_numpy(), after[mask])
    for part in ("val", "test"):
        events = pa.concat_tables(
            [pq.read_table(path) for path in sorted((store.folder / part).glob("*.parquet"))]
        )
        for name in ("user", "position", "target"):
            np.testing.assert_array_equal(
                events[name].to_numpy(), getattr(getattr(split, part), name)
            )


options = st.fixed_dictionaries(
    {
        "duplicates": st.sampled_from(["first", "last", "keep"]),
        "ties": st.sampled_from(["hash", "file", "id"]),
        "tie_seed": st.integers(0, 2),
        "min_user": st.integers(1, 4),
        "min_item": st.integers(1, 4),
        "min_rating": st.none() | st.just(3.0),
    }
)
splits = st.sampled_from(
    [
        {"split": "leave_one_out"},
        {"split": "rolling", "rolling": 2},
        {"split": "time", "rolling": 2},
        {"split": "time", "rolling": 1, "test_from": "2001-09-18"},
    ]
)


@settings(max_examples=25, deadline=None)
@given(rows, options, splits, st.sampled_from([None, FEW]), st.sampled_from(["csv", "parquet"]))
def test_sequences_and_splits_equal_those_in_memory(values, chosen, split, arrays, suffix):
    with tempfile.TemporaryDirectory() as folder, small_duck(folder, arrays) as duck:
        path = Path(folder, f"events.{suffix}")
        table = frame(values)
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path, index=False)
        config = DataConfig(root=str(path), **chosen)
        want = in_memory(config)
        if isinstance(want, LkgragError):
            with pytest.raises(type(want)) as refused:
                make_store(duck, config, Path(folder, "store"))
            assert str(refused.value) == str(want)
            return
        store = make_store(duck, config, Path(folder, "store"))
        assert_same(store, want)
        assert_same_split(duck, store, want, replace(config, **split))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
@settings(max_examples=50, deadline=None)
def test_ids_are_sorted_as_in_memory(ids):
    keys = sort_keys(pa.array(ids, pa.string())).to_pandas()
    keys["id"] = keys["id"].map(lambda text: text.encode())
    ordered = keys.sort_values(ORDER.split(", "))["id"].map(bytes.decode).tolist()
    assert ordered == natural_order(ids)


def test_distinct_ids_are_found_in_as_many_groups_as_fit(tmp_path):
    ids = np.array([f"{n:04}" for n in range(3000)] + ["a text of twenty bytes"] * 2000)
    with small_duck(tmp_path) as duck:
        duck.put("t", {"short": ids, "long": np.char.add(ids, "x" * 100)})
        assert count_groups(duck, "t", "short") == 1
        duck.memory = 100_000
        few, more = (count_groups(duck, "t", column) for column in ("short", "long"))
        assert 4 <= few <= 6
        assert 2 * few <= more <= 3 * few
        duck.put("none", {"short": ids[:0]})
        assert count_groups(duck, "none", "short") == 1


def test_files_of_other_readers_and_tables_in_parts(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    table = many(1)
    header = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    table.set_axis(header, axis=1).to_csv(folder / "shop.inter", sep="\t", index=False)
    config = DataConfig(name="shop", root=str(folder))
    with small_duck(tmp_path, FEW) as duck:
        assert_same(make_store(duck, config, tmp_path / "store"), in_memory(config))


def test_a_pair_that_comes_twice_is_named_with_both_rows(tmp_path):
    path = tmp_path / "events.parquet"
    many(2).to_parquet(path, index=False)
    config = DataConfig(root=str(path), duplicates="error")
    with small_duck(tmp_path) as duck, pytest.raises(DataError) as refused:
        make_store(duck, config, tmp_path / "store")
    assert str(refused.value) == str(in_memory(config))


def test_a_broken_value_is_named_with_its_row(tmp_path):
    table = pd_text(many(3, 70_000))
    table.loc[66_000, "rating"] = "much"
    path = tmp_path / "events.parquet"
    table.to_parquet(path, index=False)
    with small_duck(tmp_path) as duck, pytest.raises(DataError, match="row 66001, field 'rating'"):
        make_store(duck, DataConfig(root=str(path)), tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.parquet"))


def pd_text(table):
    return table.assign(rating=table["rating"].map(str))


def test_work_that_was_stopped_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "events.parquet"
    many(4).to_parquet(path, index=False)
    config, folder = DataConfig(root=str(path)), tmp_path / "store"
    write, calls = sequences.write_sequences, []

    def stop(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(sequences, "write_sequences", stop)
    with small_duck(tmp_path, FEW) as duck, pytest.raises(KeyboardInterrupt):
        make_store(duck, config, folder)
    with pytest.raises(RunError, match="no finished store"):
        Store.open(folder)
    there = {p: p.stat().st_mtime_ns for p in (folder / "sequences").iterdir()}
    assert len(there) == 2
    monkeypatch.setattr(sequences, "write_sequences", write)
    # Another limit of memory does not move the bounds of the parts.
    with small_duck(tmp_path, 10 * FEW) as duck:
        store = make_store(duck, config, folder)
    assert {p: p.stat().st_mtime_ns for p in there} == there
    assert_same(store, in_memory(config))
    assert not (folder / "work").exists()


def test_a_folder_of_other_data_is_refused(tmp_path):
    path = tmp_path / "events.parquet"
    many(5).to_parquet(path, index=False)
    config = DataConfig(root=str(path))
    with small_duck(tmp_path) as duck:
        make_store(duck, config, tmp_path / "store")
        # The split is no matter of the sequences.
        make_store(duck, replace(config, split="rolling"), tmp_path / "store")
        with pytest.raises(RunError, match="holds other data"):
            make_store(duck, replace(config, ties="id"), tmp_path / "store")
        many(6).to_parquet(path, index=False)
        with pytest.raises(RunError, match="holds other data"):
            make_store(duck, config, tmp_path / "store")


def test_a_split_that_was_stopped_goes_on_and_another_one_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "events.parquet"
    many(9).to_parquet(path, index=False)
    config, write, calls = DataConfig(root=str(path)), splitting._write, []

    def stop(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        write(*args)

    with small_duck(tmp_path, FEW) as duck:
        store = make_store(duck, config, tmp_path / "store")
        monkeypatch.setattr(splitting, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            split_store(duck, store, config)
        monkeypatch.setattr(splitting, "_write", write)
        assert_same_split(duck, store, in_memory(config), config)
        with pytest.raises(RunError, match="holds another split"):
            split_store(duck, store, replace(config, split="rolling"))


def test_positions_are_no_times(tmp_path):
    path = tmp_path / "events.parquet"
    table = many(10).sort_values("user", kind="stable")
    table["time"] = table.groupby("user").cumcount().astype(float)
    table.to_parquet(path, index=False)
    config = DataConfig(root=str(path), split="time", duplicates="keep", min_user=1, min_item=1)
    with small_duck(tmp_path) as duck:
        store = make_store(duck, config, tmp_path / "store")
        with pytest.raises(DataError, match=r"data\.split=time compares the times"):
            split_store(duck, store, config)
    table.drop(columns="time").to_parquet(path, index=False)
    with small_duck(tmp_path) as duck:
        store = make_store(duck, config, tmp_path / "other")
        assert store.meta["unknown_times"] == len(store)
        with pytest.raises(DataError, match="have no time"):
            split_store(duck, store, config)


def test_a_missing_part_and_another_version_are_named(tmp_path):
    path = tmp_path / "events.parquet"
    many(7).to_parquet(path, index=False)
    with small_duck(tmp_path) as duck:
        store = make_store(duck, DataConfig(root=str(path)), tmp_path / "store")
    store.parts[0].rename(tmp_path / "away")
    with pytest.raises(RunError, match=r"part-00000\.parquet: missing"):
        Store.open(store.folder)
    (store.folder / "store.json").write_text('{"version": 0}')
    with pytest.raises(RunError, match="of another version"):
        Store.open(store.folder)


def test_options_that_need_other_tables_are_refused(tmp_path):
    path = tmp_path / "events.parquet"
    many(8).to_parquet(path, index=False)
    with small_duck(tmp_path) as duck, pytest.raises(ConfigError, match=r"data\.untitled=drop"):
        make_store(duck, DataConfig(root=str(path), untitled="drop"), tmp_path / "store")
