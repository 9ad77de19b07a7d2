"""The commands and the space of docs/tune.md on a small shop; its table is that of the stored result."""

import shlex
from importlib import import_module
from pathlib import Path

import pytest
from helpers.pages import blocks, command_lines
from helpers.small_run import write_shop
from helpers.studies import fake_trial

from benchmarks import tune
from benchmarks.common import stored
from lkgrag.config.loading import spaces
from lkgrag.tuning import work
from lkgrag.tuning.results import BEST, SUMMARY, TABLE

PAGE = Path(__file__).parents[2] / "docs" / "tune.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "run_trial", fake_trial)
    (tmp_path / "shop").mkdir()
    write_shop(tmp_path / "shop")
    (space,) = blocks(PAGE, "yaml")
    (tmp_path / "mine.yaml").write_text(space)
    lines = list(command_lines(PAGE))
    assert [module for module, _ in lines] == ["lkgrag.tune", "lkgrag.tune", "lkgrag.train"]
    for module, words in lines:
        # Fewer trials than the page's, which take a minute.
        fewer = [*(w for w in words if not w.startswith("trials=")), "trials=6"]
        monkeypatch.setattr("sys.argv", [module, *(fewer if module == "lkgrag.tune" else words)])
        assert import_module(module).main() == 0, shlex.join(words)
    assert (tmp_path / "outputs" / "tune-ml-100k-default" / BEST).exists()
    there = {path.name for path in (tmp_path / "outputs" / "tune-shop").iterdir()}
    assert {BEST, SUMMARY, TABLE, "trials.parquet", "report.html", "trials", "study.db"} <= there
    assert (tmp_path / "outputs" / "tune-shop" / "best.yaml").read_text().startswith("# The best")


def test_the_page_is_short_and_names_what_there_is():
    assert len(TEXT.splitlines()) <= 80
    for name in spaces():
        assert f"`{name}`" in TEXT


def test_the_table_of_the_page_is_that_of_the_result():
    result = stored("tune")
    if result is None:
        pytest.skip("not measured yet")
    assert f"<!-- tune -->\n{tune.table(result['sets'])}\n<!-- /tune -->" in TEXT
