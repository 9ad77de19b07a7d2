"""The measurement of rankings without a language model, on a ranker of seconds."""

import json

import pytest

from benchmarks import tables
from benchmarks.speed import serving
from lkgrag.errors import LkgragError


def result_of(**sets):
    """A result with these sets; what a test does not say is 1."""
    figures = dict.fromkeys(tables.SERVING, 1.0)
    imports = dict.fromkeys(tables.IMPORTS, 0.5)
    return {**imports, "sets": {name: {**figures, **one} for name, one in sets.items()}}


def test_values_compare_the_sets_and_take_the_slowest_load():
    ml = {"p50_ms": 2.0, "p99_ms": 4.0, "load": 0.25, "users_a_second": 900.0}
    result = result_of(**{"ml-100k": ml, "amazon-beauty": {"p50_ms": 5.0, "load": 0.75}})
    assert serving.values_of(result) == {
        "S13_import": 0.5,
        "S13_load": 0.75,
        "S12_p50": 2.0,
        "S12_p99": 4.0,
        "S12_bulk": 900.0,
        "S12_beauty": 2.5,
    }


def test_a_set_that_is_not_at_hand_has_no_values():
    assert set(serving.values_of(result_of(**{"ml-100k": {}}))) == {
        *("S13_import", "S13_load", "S12_p50", "S12_p99", "S12_bulk"),
    }
    assert set(serving.values_of(result_of())) == {"S13_import"}


def test_a_quick_measurement_trains_nothing(tmp_path):
    (tmp_path / "ml-100k" / "ranker").mkdir(parents=True)
    assert serving.find_rankers({"amazon-beauty": "data"}, tmp_path, quick=True) == {}
    (tmp_path / "ml-100k" / "ranker" / "ranker.json").write_text("{}")
    assert serving.find_rankers({}, tmp_path, quick=True) == {"ml-100k": tmp_path / "ml-100k"}


@pytest.mark.slow
def test_a_run_that_fails_is_told_in_one_error(tmp_path):
    (tmp_path / "ml-100k" / "ranker").mkdir(parents=True)
    (tmp_path / "ml-100k" / "ranker" / "ranker.json").write_text("{}")
    roots = {"amazon-beauty": str(tmp_path / "nowhere")}
    with pytest.raises(
        LkgragError, match=r"^amazon-beauty: no ranker was trained: error: .*nowhere"
    ):
        serving.find_rankers(roots, tmp_path, quick=False)


def test_a_ranker_is_measured_in_its_own_process(run_without_lm):
    result = serving.measure({"ml-100k": run_without_lm}, quick=True)
    (one,) = result["sets"].values()
    assert set(one) == set(tables.SERVING)
    assert all(value > 0 for value in one.values())
    assert one["p50_ms"] <= one["p99_ms"]
    # Loading with all imports takes longer than without.
    assert one["load"] < one["cold"]
    assert result["values"]["S12_p50"] == one["p50_ms"]
    page = tables.serving(result)
    assert "| `from lkgrag import Ranker` |" in page
    assert json.loads(json.dumps(result)) == result


def test_a_ranker_is_measured_without_its_language_model(small_run):
    found = serving.measure({"ml-100k": small_run[0] / "out"}, quick=True)
    assert found["values"]["S12_p50"] > 0
