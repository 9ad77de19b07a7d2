"""The command of the suite."""

import importlib

import pytest

from benchmarks import run
from benchmarks.speed import suite as speed


def test_the_check_compares_ratios(capsys):
    def result(ratio):
        return {"paths": {"sets": {"ml-100k": {"times": {"igraph": ratio, "networkx": None}}}}}

    assert speed.check(result(10.0), result(12.0)) == 0
    assert speed.check(result(5.0), result(12.0)) == 1
    assert "times igraph: 5.0, stored 12.0" in capsys.readouterr().err


def test_parts_are_listed_and_unknown_ones_refused(capsys):
    assert run.main(["speed", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(speed.PARTS)
    assert run.main(["speed", "--only", "path"]) == 2
    assert f"there are {', '.join(speed.PARTS)}" in capsys.readouterr().err


@pytest.mark.parametrize("suite", sorted(run.SUITES))
def test_every_suite_is_there_with_its_parts(suite, capsys):
    assert run.main([suite, "--list"]) == 0
    parts = capsys.readouterr().out.splitlines()
    assert len(set(parts)) == len(parts)
    module, function = run.SUITES[suite]
    assert callable(getattr(importlib.import_module(module), function))
