"""The commands of docs/devices.md for a Ray cluster, on a small run; its table is that of the stored result."""

from pathlib import Path

import pandas as pd
import pytest
from helpers.pages import command_lines

from benchmarks.common import stored
from benchmarks.engines import bulk
from lkgrag import recommend
from lkgrag.cli.crew_options import CrewOptions, parse_crew

PAGE = Path(__file__).parents[2] / "docs" / "devices.md"
HEAD = "## Rankings of everyone on a Ray cluster"


def commands():
    return [words for _, words in command_lines(PAGE) if "engine=ray" in words]


def test_the_commands_of_the_page(run_without_lm, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")
    here, there = commands()
    assert parse_crew(dict(w.split("=", 1) for w in there), "accelerate", "") == CrewOptions(
        None, "auto"
    )
    monkeypatch.chdir(tmp_path)
    pairs = dict(word.split("=", 1) for word in here) | {"run": str(run_without_lm)}
    recommend.body(pairs, set())
    assert pd.read_parquet("recs").groupby("user").size().eq(10).all()


def test_the_section_is_short_and_its_table_that_of_the_result():
    section = PAGE.read_text(encoding="utf-8").split(HEAD)[1].split("\n## ")[0]
    assert len(section.splitlines()) <= 40
    found = (stored("engines") or {}).get("bulk")
    table = f"{bulk.table(found)}\n" if found else ""
    assert f"<!-- bulk -->\n{table}<!-- /bulk -->" in section
