"""The bench of updates: where time is cut, what counts as new, and its table."""

import numpy as np
import pytest
from helpers.small_run import small_options, write_shop

from benchmarks import update
from lkgrag.config.loading import load_config
from lkgrag.run.stages import load_dataset


def shop(root):
    root.mkdir(exist_ok=True)
    write_shop(root)
    options = {"data.name": "shop", "data.root": str(root)}
    return load_config(options | {"data.min_user": "1", "data.min_item": "1"})


def test_nothing_of_the_test_is_known_before_it(tmp_path):
    x = load_dataset(shop(tmp_path)).interactions
    timeline = update.Timeline.of(x, 0.2)
    old, now = timeline.before(timeline.new_from), timeline.before(timeline.test_from)
    assert old.time.max() < timeline.new_from <= now.time.max() < timeline.test_from
    assert len(now) == pytest.approx(0.9 * len(x), rel=0.1)
    assert len(now) - len(old) == pytest.approx(0.2 * len(x), rel=0.2)
    assert set(old.item_ids) == {x.item_ids[i] for i in x.item[x.time < timeline.new_from]}
    events = timeline.events()
    known = {(now.user_ids[u], now.item_ids[i]) for u, i in zip(now.user, now.item, strict=True)}
    assert events
    assert not known & set(events)
    assert {item for _, item in events} <= set(now.item_ids)


def test_errors_are_those_of_users():
    values, user = np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 0, 1, 1])
    whole = update.figure(values, user, np.ones(4, bool))
    assert whole["mean"] == 0.5
    # Two users say less than four events: of their means, 1 and 0, half the resamples are one alone.
    assert whole["error"] == pytest.approx(0.35, abs=0.05)
    assert update.figure(values, user, np.zeros(4, bool)) is None


@pytest.mark.slow
def test_a_small_shop_is_measured(tmp_path, monkeypatch):
    options = small_options(tmp_path) | {"llm.name": "none"}
    del options["out"]
    monkeypatch.setattr(update, "configuration", lambda data, root, seed: load_config(options))
    monkeypatch.setattr(update, "SHARES", (0.2,))
    (sets,) = update.measure(["shop"], tmp_path / "bench", 0, {"other": {}})
    part = sets["shop"]["0.2"]
    assert set(part["rows"]) == set(update.COLUMNS)
    assert part["new"]["new"] == part["interactions"]["new"]
    assert part["rows"]["updated"]["seconds"] < part["rows"]["trained again"]["seconds"]
    assert part["rows"]["stale"]["gain_over_stale"]["mean"] == 0
    lines = update.table({"shop": sets["shop"]}).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| shop, 20% | .")
    assert len({line.count("|") for line in lines}) == 1
