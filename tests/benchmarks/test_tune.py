"""The bench of tuning: what it stores of a study, how it compares on test, and its table."""

import pandas as pd
import pytest
from helpers.small_run import small_options

from benchmarks import tune
from lkgrag.tuning.space_file import read_space


def frame(*gains):
    return pd.DataFrame({"user": ["a", "a", "b", "c"], "position": [3, 4, 3, 3], "gain": gains})


def test_gains_are_averaged_over_seeds_and_paired_by_event():
    best, defaults = frame(1.0, 0.5, 0.0, 1.0), frame(0.0, 0.5, 0.0, 1.0)
    other = frame(0.0, 0.5, 0.5, 1.0)
    found = tune.compare([(best.iloc[::-1], defaults), (other, defaults)])
    assert found["gain"]["mean"] == pytest.approx((1.0 + 0.5) / 2 / 4)
    assert (found["gain"]["users"], found["gain"]["events"]) == (3, 4)
    assert found["seeds"][0] == {"best": 0.625, "defaults": 0.375}


def test_the_table_shows_what_was_measured_only():
    gain = {"mean": 0.01, "low": -0.01, "high": 0.03, "p": 0.2}
    validation = {
        "space": {"name": "scorer"},
        "trials": {"complete": 3, "pruned": 1},
        "seconds": 5400.0,
        "best": {"value": 0.2},
        "defaults": {"value": 0.19},
        "gain": {"selected": gain, "confirmed": None},
    }
    lines = tune.table({"a": {"validation": validation}}).splitlines()
    assert lines[2].startswith(
        "| a | scorer | 4, 1.5 | 0.1900, 0.2000 | +0.0100 [-0.0100, +0.0300], p = .200 |"
    )
    assert lines[2].endswith("| – | – |")
    both = tune.table({"a": {"validation": validation, "test": {"gain": gain}}}).splitlines()
    assert both[2].endswith("| +0.0100 [-0.0100, +0.0300], p = .200 |")


@pytest.mark.slow
def test_a_study_is_made_and_compared_on_test_only_if_asked(tmp_path, monkeypatch):
    options = {**small_options(tmp_path), "llm.name": "none", "evaluation.bootstrap": "50"}
    (tmp_path / "one.yaml").write_text("retrieval.decay: {choices: [0.7, 0.8]}")
    space = read_space(str(tmp_path / "one.yaml"))
    monkeypatch.setattr("lkgrag.tuning.options.read_space", lambda name: space)
    monkeypatch.setattr(
        tune.Place,
        "options",
        lambda place: {**options, "out": str(place.study), "cache.root": str(tmp_path / "cache")},
    )
    monkeypatch.setattr(tune, "SEEDS", (0,))
    (first,) = tune.measure(["shop"], tmp_path / "bench", 2, False, {"other": {}})
    assert set(first["shop"]) == {"validation"}
    assert not list((tmp_path / "bench").glob("*/ranks.parquet"))
    (second,) = tune.measure(["shop"], tmp_path / "bench", 2, True, first)
    assert set(second["shop"]) == {"validation", "test"}
    assert second["shop"]["test"]["gain"]["events"] == 60
    (third,) = tune.measure(["shop"], tmp_path / "bench", 2, False, second)
    assert third["shop"]["test"] == second["shop"]["test"]
    assert "other" in third
