"""What the benchmarks share: targets, records of results, rates."""

import json

from benchmarks import common


def test_targets_are_judged_by_their_direction():
    rows = {r["name"]: r for r in common.judge("S", {"S3": 501.0, "S10_help": 0.6, "S5": 2.0})}
    assert rows["S3"] == {
        "name": "S3",
        "what": "prompts a second a core, shortest paths of any length, slowest data set",
        "value": 501.0,
        "target": 500,
        "met": True,
    }
    assert not rows["S10_help"]["met"]
    assert rows["S5"]["met"]
    assert rows["S9"]["value"] is None
    assert rows["S9"]["met"] is False


def test_a_fall_by_a_third():
    assert common.fell(6.6, 10.0)
    assert not common.fell(6.7, 10.0)
    assert not common.fell(20.0, 10.0)


def test_rates_are_those_of_the_best_repeat(monkeypatch):
    ticks = iter([0.0, 2.0, 10.0, 10.5, 20.0, 21.0])
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(ticks))
    assert common.rate(lambda: None, 100, 3.0) == 200.0


def test_a_result_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    common.save("speed", "python -m benchmarks.run speed", 3, {"paths": {}})
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found.keys() >= {"command", "date", "seed", "hardware", "versions", "paths"}
    assert common.stored("speed") == found
    assert common.stored("other") is None
