"""docs/many-machines.md: its tables are those of the stored results, and its arithmetic is that of slopes."""

from pathlib import Path

import pytest

from benchmarks.common import stored
from benchmarks.engines import picture

PAGE = Path(__file__).parents[2] / "docs" / "many-machines.md"
NAMES = ("scale", "engines", "service", "large")


def test_a_slope_goes_on_as_it_was():
    slope = picture.Slope("work", "items", "seconds", ((10, 1.0), (1000, 100.0)))
    assert slope.power == pytest.approx(1)
    assert slope.at(10_000) == pytest.approx(1000)
    assert slope.at(1000) == 100
    flat = picture.Slope("work", "items", "seconds", ((10, 5.0), (1000, 5.0)))
    assert flat.at(10**9) == pytest.approx(5)


def test_calculated_sizes_are_no_points_of_a_slope():
    rows = {
        "a": {"n": 10, "s": 1.0},
        "b": {"n": 1000, "s": 9.0, "calculated": True},
        "c": {"n": 100, "s": 2.0},
        "d": {"n": 1, "s": 0.5},
    }
    assert picture.ends(rows, "n", "s") == ((10, 1.0), (100, 2.0))


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_tables_are_those_of_the_results():
    results = {name: stored(name) for name in NAMES}
    assert None not in results.values()
    text = PAGE.read_text(encoding="utf-8")
    for marker, table in picture.TABLES.items():
        assert f"<!-- {marker} -->\n{table(results)}\n<!-- /{marker} -->" in text


def test_hours_of_the_plan_add_up():
    results = {name: stored(name) for name in NAMES}
    works = picture.plan(results)
    cores = sum(work.hours for work in works if not work.is_gpu)
    line = picture.plan_table(results).splitlines()[-1]
    assert f"{cores:,.0f}" in line or f"{cores:.3g}" in line
    # The machines of all work are those of its hours, in a night, at the share of time that was measured.
    used = picture.efficiency(results)
    assert 0.5 < used <= 1.1
    machines = int(line.split("|")[-2].replace(",", ""))
    assert (machines - 1) * picture.HOURS * picture.CORES * used < cores
    assert cores <= machines * picture.HOURS * picture.CORES * used
