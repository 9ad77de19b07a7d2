"""The command of the suite."""

from benchmarks import run


def test_the_check_compares_ratios(capsys):
    def result(ratio):
        return {"paths": {"sets": {"ml-100k": {"times": {"igraph": ratio, "networkx": None}}}}}

    assert run._check(result(10.0), result(12.0)) == 0
    assert run._check(result(5.0), result(12.0)) == 1
    assert "times igraph: 5.0, stored 12.0" in capsys.readouterr().err


def test_parts_are_listed_and_unknown_ones_refused(capsys):
    assert run.main(["speed", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(run.SPEED)
    assert run.main(["speed", "--only", "path"]) == 2
    assert f"there are {', '.join(run.SPEED)}" in capsys.readouterr().err
