"""The commands and the examples of docs/graph-store.md; its table is that of the stored result."""

from pathlib import Path

import numpy as np
import pytest
from helpers.large import many
from helpers.pages import blocks, command_lines
from helpers.path_graphs import queries

from benchmarks.common import judge, stored
from benchmarks.engines import store
from lkgrag import count, export
from lkgrag.kg import LadybugStore, RowReads

PAGE = Path(__file__).parents[2] / "docs" / "graph-store.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_and_examples(run_without_lm, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ladybug", reason="needs the extra store")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "shop").symlink_to(run_without_lm)
    many(0, 600).to_parquet("events.parquet", index=False)
    words = ["data.root=events.parquet", "out=counted", "engine.memory=512MB", "threads=1"]
    monkeypatch.setattr("sys.argv", ["lkgrag.count", *words])
    assert count.main() == 0
    lines = list(command_lines(PAGE))
    assert len(lines) == 2
    for module, words in lines:
        assert module == "lkgrag.export"
        monkeypatch.setattr("sys.argv", [module, *words])
        assert export.main() == 0, words
    assert LadybugStore("counted.lbug").num_nodes("item") > 0
    ranker, alone = blocks(PAGE, "python")
    exec(ranker, {})
    exec(alone, {"queries": queries(np.array([[0, 1, 2]]), np.array([[3, 4]]))})
    assert "rows in" in capsys.readouterr().out


def test_it_is_short_and_names_the_methods():
    assert len(TEXT.splitlines()) <= 80
    for method in ("get_rows", "get_degrees", "num_nodes"):
        assert getattr(RowReads, method).__isabstractmethod__
        assert f"`{method}`" in TEXT


def test_the_table_is_that_of_the_result():
    found = (stored("engines") or {}).get("store")
    table = f"{store.table(found)}\n" if found else ""
    assert f"<!-- store -->\n{table}<!-- /store -->" in TEXT
    wanted = {t["name"]: t["value"] for t in judge("C", store.values(found), suite="engines")}
    if found and "10x" in found:
        assert wanted["C9_store"] == found["10x"]["rows"]["peak_gib"]
