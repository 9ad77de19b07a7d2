"""The database: its limit and its folder, and each error of it in one line."""

import sys

import numpy as np
import pytest

from lkgrag.config import EngineConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.utils.duck import known, open_duck, parquet, sweep_temporary
from lkgrag.utils.duck_limits import check_limits, memory_of
from lkgrag.utils.key_counts import count_keys, ranges
from lkgrag.utils.memory import parse_bytes

SMALL = EngineConfig(memory="512MB")


@pytest.mark.parametrize(
    ("text", "number"),
    [("8GB", 8 * 10**9), ("1.5 GiB", 3 * 2**29), ("512mb", 512 * 10**6), (" 2 TB ", 2 * 10**12)],
)
def test_amounts_of_memory(text, number):
    assert parse_bytes(text, "engine.memory") == number


@pytest.mark.parametrize("text", ["8", "GB", "8 G", "-1GB", "1e3GB", "", "8GB8GB", "٣GB", "nan GB"])
def test_no_amount_of_memory_is_refused(text):
    with pytest.raises(ConfigError, match=r"'engine\.memory': .* is no amount of memory"):
        load_config({"engine.memory": text or "''"})


def test_a_limit_that_is_too_small_is_refused():
    with pytest.raises(ConfigError, match="at least 512MB"):
        memory_of(EngineConfig(memory="100MB"))
    assert memory_of(EngineConfig()) >= 512 * 10**6


def test_without_duckdb_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=r'pip install "lkgrag\[large\]"'), open_duck(SMALL):
        pass


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    config = EngineConfig(memory="512MB", temp=str(tmp_path / "no"))
    with pytest.raises(ConfigError, match=r"engine\.temp=.*no: no such folder"), open_duck(config):
        pass
    (tmp_path / "file").write_text("")
    config = EngineConfig(memory="512MB", temp=str(tmp_path / "file"))
    with pytest.raises(ConfigError, match="no such folder"), open_duck(config):
        pass


def test_too_little_memory_and_a_full_disk_are_told_apart(tmp_path):
    sql = "select count(*) from (select distinct hash(i), hash(i + 1) from range(3000000) t(i))"
    with open_duck(SMALL, beside=tmp_path) as duck:
        duck.run("set memory_limit = '30MB'")
        duck.run("set temp_directory = ''")
        with pytest.raises(LkgragError, match=r"raise it, as engine\.memory=8GB"):
            duck.row(sql)
    with open_duck(SMALL, beside=tmp_path) as duck:
        duck.run("set memory_limit = '30MB'")
        duck.run("set max_temp_directory_size = '1MB'")
        with pytest.raises(LkgragError, match=r"the disk of .* is full: free space"):
            duck.row(sql)
    assert not list(tmp_path.iterdir())


def test_a_broken_or_missing_file_is_named(tmp_path):
    path = tmp_path / "a [1] *.parquet"
    path.write_text("no Parquet, but more than twelve bytes")
    with open_duck(SMALL, beside=tmp_path) as duck:
        for fault in ("broken", "missing"):
            with pytest.raises(DataError) as refused:
                duck.row(f"select * from {parquet([path])}")
            assert str(path) in str(refused.value), fault
            path.unlink(missing_ok=True)


def test_nothing_is_left_of_a_query_that_fails(tmp_path):
    with open_duck(SMALL, beside=tmp_path) as duck:
        duck.run("set memory_limit = '30MB'")
        duck.run("set temp_directory = ''")
        with pytest.raises(LkgragError):
            duck.write(
                "select distinct hash(i), hash(i + 1) from range(3000000) t(i)",
                tmp_path / "out.parquet",
            )
        assert [p.name for p in tmp_path.iterdir()] == [duck.temp.name]


def test_what_killed_processes_left_is_swept(tmp_path):
    (tmp_path / ".lkgrag-duckdb-1").mkdir()
    (tmp_path / ".lkgrag-duckdb-1" / "spill").write_text("")
    (tmp_path / "kept").mkdir()
    with open_duck(SMALL, beside=tmp_path) as duck:
        assert {p.name for p in tmp_path.iterdir()} == {"kept", duck.temp.name}
        # What is in use stays.
        sweep_temporary(tmp_path)
        assert duck.temp.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_unknown_values_are_null_in_files():
    # The statistics of Parquet leave NaN out, by which a query would take a row with NaN for one without.
    assert known(np.array([1.0, np.nan])).to_pylist() == [1.0, None]


def test_values_are_summed_by_place(tmp_path):
    place, value = np.array([3, 0, 3, 3], np.int32), np.array([1, 2**40, -5, 7])
    with open_duck(SMALL, beside=tmp_path) as duck:
        duck.put("t", {"place": place, "value": value})
        sums = duck.sums("select place, value from t", 5)
        assert sums.dtype == np.int64
        np.testing.assert_array_equal(sums, [2**40, 0, 0, 3, 0])
        counts = duck.sums("select place, 1 as value from t", 5)
        np.testing.assert_array_equal(counts, [1, 0, 0, 3, 0])
        np.testing.assert_array_equal(duck.sums("select place, value from t limit 0", 2), [0, 0])


@pytest.mark.parametrize("arrays", [10**6, 8])
def test_keys_are_counted_in_order(arrays, monkeypatch, tmp_path):
    monkeypatch.setattr("lkgrag.utils.key_counts.BLOCK", 7)
    keys = np.random.default_rng(0).integers(0, 9, 100)
    with open_duck(SMALL, beside=tmp_path) as duck:
        duck.arrays = arrays
        duck.put("t", {"key": keys})
        blocks = list(count_keys(duck, "select key from t", 100, 10))
    want, count = np.unique(keys, return_counts=True)
    np.testing.assert_array_equal(np.concatenate([b[0] for b in blocks]), want[count >= 10])
    np.testing.assert_array_equal(np.concatenate([b[1] for b in blocks]), count[count >= 10])


def test_ranges_hold_at_most_so_many_rows():
    rows = np.array([3, 0, 4, 9, 1, 1, 1])
    assert ranges(rows, 4) == [(0, 2), (2, 3), (3, 4), (4, 7)]
    assert ranges(np.zeros(3, np.int64), 4) == [(0, 3)]
    assert ranges(np.zeros(0, np.int64), 4) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "1MB"}, "at least 512MB"),
        ({"temp": "no/such"}, "no such folder"),
        ({"name": "duckdb"}, r"lkgrag\[large\]"),
    ],
)
def test_a_run_is_told_before_it_computes_anything(options, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=message):
        check_limits(EngineConfig(**options), is_needed=options.get("name") == "duckdb")
    check_limits(EngineConfig(), is_needed=False)
