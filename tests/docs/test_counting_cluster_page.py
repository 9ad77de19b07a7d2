"""The commands of docs/counting-cluster.md, with a cluster in place of one that runs; its tables are those of the stored result."""

from pathlib import Path

import pytest
from helpers.pages import command_lines

from benchmarks.common import stored
from benchmarks.engines import cluster
from lkgrag import count
from lkgrag.cli.crew_options import CrewOptions

PAGE = Path(__file__).parents[2] / "docs" / "counting-cluster.md"


def test_the_commands_of_the_page(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(count, "count", lambda config, folder, crew: asked.append(crew))
    for module, words in command_lines(PAGE):
        if module != "lkgrag.count":
            # The benchmark itself.
            continue
        monkeypatch.setattr("sys.argv", [module, *words])
        assert count.main() == 0, words
    assert asked == [CrewOptions(2, None), CrewOptions(None, "auto")]


def test_the_tables_are_those_of_the_result():
    text, result = PAGE.read_text(encoding="utf-8"), (stored("engines") or {}).get("cluster")
    if result:
        assert cluster.counting_table(result) in text
        assert cluster.choice_table(result) in text
        for rows in result["counting"].values():
            assert len({row["sum"] for row in rows.values()}) == 1
