"""The arithmetic of the benchmarks."""

import json

import numpy as np
import pytest

from benchmarks import common, run
from benchmarks.speed import paths, peers
from lkgrag.config import KGConfig
from lkgrag.paths import ShortestPaths
from lkgrag.testing import toy_kg


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


def test_the_check_compares_ratios(capsys):
    def result(ratio):
        return {"paths": {"sets": {"ml-100k": {"times": {"igraph": ratio, "networkx": None}}}}}

    assert run._check(result(10.0), result(12.0)) == 0
    assert run._check(result(5.0), result(12.0)) == 1
    assert "times igraph: 5.0, stored 12.0" in capsys.readouterr().err


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


@pytest.mark.parametrize("make", [peers.Igraph, peers.Cypher, peers.Networkx])
def test_peers_give_the_same_lengths(make):
    data = toy_kg(KGConfig(behaviour_min=1))
    finder = ShortestPaths(data, longest=peers.LONGEST)
    try:
        peer = make(finder)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed: pip install -e .[bench]")
    history, candidates = np.array([0, 2, 5]), np.array([1, 3, 8, 9])
    assert peer(history.tolist(), candidates.tolist()) == paths.lengths_of(
        finder, history, candidates
    )


def test_parts_are_listed_and_unknown_ones_refused(capsys):
    assert run.main(["speed", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(run.SUITES["speed"])
    assert run.main(["speed", "--only", "path"]) == 2
    assert "there are paths, wording, lm, whole" in capsys.readouterr().err
