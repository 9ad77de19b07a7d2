import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.config.loading import load_config
from lkgrag.data import Interactions
from lkgrag.errors import DataError
from lkgrag.run import display
from lkgrag.run.stages import load_dataset


def of_times(first, users=20, length=6):
    rows = [(f"u{u}", f"i{(u + p) % 9}", first(u) + p) for u in range(users) for p in range(length)]
    frame = pd.DataFrame(rows, columns=["user", "item", "time"])
    return Interactions.from_frames(frame, config=DataConfig(min_user=1, min_item=1))


def test_times_that_begin_anew_for_each_user_are_positions():
    assert not of_times(lambda u: 0).dated
    assert not of_times(lambda u: 1).dated
    # One user of twenty may begin later, because the filters may drop first items.
    assert not of_times(lambda u: 2 if u == 3 else 0).dated
    assert of_times(lambda u: 1_400_000_000 + 50 * u).dated
    # Small numbers that all users share are times as well.
    assert of_times(lambda u: 3 * u).dated


def test_without_times_nothing_is_taken_for_positions():
    frame = pd.DataFrame({"user": ["a", "a", "b", "b"], "item": ["x", "y", "x", "z"]})
    x = Interactions.from_frames(frame, config=DataConfig(min_user=1, min_item=1))
    assert np.isnan(x.time).all()
    assert x.dated


@pytest.fixture
def folder(tmp_path):
    x = of_times(lambda u: 0)
    users = [x.user_ids[u] for u in x.user]
    table = pd.DataFrame({"u": users, "i": [x.item_ids[i] for i in x.item], "t": x.time})
    table.columns = ["user_id:token", "item_id:token", "timestamp:float"]
    table.to_csv(tmp_path / "shop.inter", sep="\t", index=False)
    options = {"data.min_user": "1", "data.min_item": "1"}
    return {"data.name": "shop", "data.root": str(tmp_path), **options}


@pytest.mark.parametrize("option", [{"kg.temporal": "true"}, {"data.split": "time"}])
def test_what_compares_the_times_of_users_is_refused(folder, option):
    with pytest.raises(DataError, match="positions in each user's history") as error:
        load_dataset(load_config({**folder, **option}))
    name, value = next(iter(option.items()))
    assert f"{name}={value}" in str(error.value)


def with_times(folder, lines, change):
    """The file with the last field of so many of its lines changed."""
    path = Path(folder["data.root"]) / "shop.inter"
    header, *rows = path.read_text().splitlines()
    parts = [row.rpartition("\t") for row in rows]
    rows = [a + b + (change(c) if n < lines else c) for n, (a, b, c) in enumerate(parts)]
    path.write_text("\n".join([header, *rows]) + "\n")


def test_a_graph_in_time_is_refused_where_no_time_is_known(folder):
    with_times(folder, 999, lambda _: "")
    load_dataset(load_config(folder))
    with pytest.raises(DataError, match=r"kg\.temporal=true.*no interaction has a time"):
        load_dataset(load_config({**folder, "kg.temporal": "true"}))


def test_unknown_times_of_a_graph_in_time_are_counted_in_a_warning(folder, caplog):
    with_times(folder, 999, lambda time: f"{float(time) + 1_400_000_000:.0f}")
    load_dataset(load_config({**folder, "kg.temporal": "true"}))
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    with_times(folder, 3, lambda _: "")
    load_dataset(load_config({**folder, "kg.temporal": "true"}))
    assert "3 of 120 interactions have no time" in caplog.text


def test_a_run_says_so(folder, capsys):
    loaded = load_dataset(load_config(folder))
    display.StageDisplay(True).show_interactions(loaded)
    assert "positions in each user's history" in " ".join(capsys.readouterr().out.split())
