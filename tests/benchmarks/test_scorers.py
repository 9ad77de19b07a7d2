"""The bench of scorers: cells are kept, test is not read, differences are paired, the table shows them."""

import argparse

import numpy as np
import pandas as pd
import pytest
from helpers.small_run import small_options

from benchmarks import run, scorers
from lkgrag.config.loading import load_config
from lkgrag.scorer import resolve_scorer
from lkgrag.utils.files import read_parquet, write_json, write_parquet

SETTINGS = {
    "seeds": [0, 1],
    "data": ["shop"],
    "base": "default",
    "rows": {
        "default": {"name": "metapath_attention"},
        "graphsage": {"name": "graphsage", "kwargs": {"hidden": 4}, "lr": 0.01},
    },
    "tries": {
        "data": "shop",
        "networks": ["lightgcn"],
        "settings": [{}, {"kwargs": {"layers": 1}}],
    },
}


def options(root, **more):
    wanted = {"only": None, "seeds": None, "data": None, "threads": 1, "quick": True, "root": root}
    return argparse.Namespace(**wanted | more)


def fake(folder, ranks):
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"split": "val", "user": [0, 0, 1, 2], "position": [1, 2, 1, 1]})
    for system in ("retriever", *scorers.SYSTEMS):
        frame[f"rank_{system}"] = ranks
    write_parquet(folder / "ranks.parquet", frame)
    cost = {"parameters": 1234, "seconds": 2.0, "epochs": 3, "best_epoch": 1, "milliseconds": 0.5}
    write_json(folder / "cost.json", cost)


def test_every_row_of_the_settings_can_be_named():
    settings = scorers.read_settings()
    for row in settings["rows"].values():
        assert resolve_scorer(scorers.scorer_of(row).name)
    assert settings["base"] in settings["rows"]
    for name in settings["tries"]["networks"]:
        assert resolve_scorer(name)
    assert run.parts_of("scorers") == (*settings["rows"], "tries")


def test_cells_come_seed_by_seed_and_can_be_chosen(tmp_path):
    found = list(scorers.cells(SETTINGS, options(tmp_path)))
    assert found == [(d, s, r) for s in (0, 1) for d in ("shop",) for r in SETTINGS["rows"]]
    some = list(scorers.cells(SETTINGS, options(tmp_path, only=["graphsage"], seeds=1)))
    assert some == [("shop", 0, "graphsage")]
    assert not list(scorers.cells(SETTINGS, options(tmp_path, only=["tries"])))


def test_differences_are_paired_over_common_seeds(tmp_path):
    rows = SETTINGS["rows"]
    for seed in (0, 1):
        fake(scorers.folder_of(tmp_path, "shop", seed, rows["default"]), [2, 3, 0, 4])
    fake(scorers.folder_of(tmp_path, "shop", 1, rows["graphsage"]), [1, 3, 0, 4])
    found = scorers.gather(SETTINGS, tmp_path)["shop"]
    assert found["rows"]["default"]["seeds"] == [0, 1]
    (gap,) = (g for g in found["differences"] if g["system"] == "ranker")
    assert gap["row"] == "graphsage"
    assert gap["seeds"] == 1
    assert gap["mean"] == pytest.approx((1 - 1 / np.log2(3)) / 4)
    lines = scorers.table({"shop": found}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert lines[3].startswith("| shop | graphsage | .")
    assert "| 1,234 | 2 | 0.5 |" in lines[3]
    assert scorers.shown(None) == "Not measured yet."


@pytest.mark.slow
def test_a_small_shop_is_measured_and_goes_on(tmp_path, monkeypatch, capsys):
    small = small_options(tmp_path) | {"llm.name": "none"}
    del small["out"]
    monkeypatch.setattr(
        scorers,
        "configuration",
        lambda data, seed, root: load_config(small | {"seed": str(seed)}),
    )
    monkeypatch.setattr(scorers, "read_settings", lambda: SETTINGS)
    assert scorers.scorers(options(tmp_path, seeds=1, only=["default", "graphsage", "tries"])) == 0
    assert "| shop | graphsage | " in capsys.readouterr().out
    frames = sorted(tmp_path.glob("cells/**/ranks.parquet"))
    assert len(frames) == 4
    assert all(set(read_parquet(f)["split"]) == {"val"} for f in frames)
    # What is there is not made again, and a half-written cell is.
    monkeypatch.setattr(scorers.Lists, "measure", lambda *a: 1 / 0)
    assert scorers.scorers(options(tmp_path, seeds=1)) == 0
    frames[0].with_name("cost.json").unlink()
    with pytest.raises(ZeroDivisionError):
        scorers.scorers(options(tmp_path, seeds=1, only=["tries", *SETTINGS["rows"]]))
    assert scorers.scorers(options(tmp_path, data=["nothing"])) == 2
