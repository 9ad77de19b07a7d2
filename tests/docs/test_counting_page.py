"""The commands and the example of docs/counting.md; its tables are those of the stored result."""

from importlib import import_module
from pathlib import Path

import pytest
from helpers.large import many
from helpers.pages import blocks, command_lines

from benchmarks.common import stored
from benchmarks.engines import counting, page
from lkgrag.config.loading import load_config
from lkgrag.kg import TableKG

PAGE = Path(__file__).parents[2] / "docs" / "counting.md"


@pytest.mark.slow
def test_the_commands_and_the_example_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    many(0, 600).to_parquet("events.parquet", index=False)
    for module, words in command_lines(PAGE):
        if module == "lkgrag.train":
            # A whole run is tested elsewhere, also with this engine.
            assert load_config(dict(word.split("=", 1) for word in words)).engine.name == "duckdb"
            continue
        monkeypatch.setattr("sys.argv", [module, *words, "threads=1"])
        assert import_module(module).main() == 0, words
    (example,) = blocks(PAGE, "python")
    names: dict = {}
    exec(example, names)
    assert isinstance(names["graph"], TableKG)
    assert len(names["store"].read()) == len(names["store"])
    assert names["finder"].num_items == names["store"].num_items


def test_the_tables_are_those_of_the_result():
    text, result = PAGE.read_text(encoding="utf-8"), stored("engines")
    assert result is not None
    assert page.counting_table(result["counting"]) in text
    if result.get("crossover"):
        assert page.crossover_table(result["crossover"]) in text


def test_sizes_that_are_not_measured_follow_the_slope():
    row = {"interactions": 10**6, "seconds": 10.0, "cpu_seconds": 5.0, "disk_gib": 1.0}
    large = {"interactions": 10**7, "seconds": 200.0, "cpu_seconds": 50.0, "disk_gib": 10.0}
    found = counting.with_slope({"1M": row, "10M": large})
    assert [*found] == [*counting.SIZES]
    assert found["100M"]["calculated"]
    assert found["100M"]["cpu_seconds"] == pytest.approx(500)
    assert found["100M"]["seconds"] == pytest.approx(4000)
    assert found["100M"]["disk_gib"] == pytest.approx(100)
    assert counting.peak_of(found) is None
    assert counting.with_slope({"1M": row}) == {"1M": row}
