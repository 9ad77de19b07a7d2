"""The commands and the example of docs/update.md, on a small shop; its table is that of the stored result."""

import shlex
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from helpers.film_shop import write_shop
from helpers.pages import blocks, command_lines
from helpers.small_run import small_options

from benchmarks import update
from benchmarks.common import stored
from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.run.pipeline import train

PAGE = Path(__file__).parents[2] / "docs" / "update.md"


@pytest.mark.slow
def test_the_commands_and_the_example_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = small_options(tmp_path)
    items = [f"B{n:03}" for n in range(1, 25)]
    write_shop(tmp_path, [f"u{n}" for n in range(40)], items, 0)
    options |= {"llm.name": "none", "out": "outputs/shop", "evaluation.explain": "0"}
    train(load_config(options))
    write_shop(tmp_path / "new", ["u1", "u2", "u99"], [*items[:6], "B100", "B101"], 9000)
    (tmp_path / "sold-out.txt").write_text("B001\nB002\n")
    lines = list(command_lines(PAGE))
    assert len(lines) == 5
    for module, words in lines:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", [module, *words])
        assert import_module(module).main() == 0, shlex.join(words)
    assert Ranker.from_pretrained("outputs/shop").users()[-1] == "u99"
    first, second = blocks(PAGE, "python")
    new = pd.DataFrame({"user": ["u7"], "item": ["B200"], "time": [2e9]})
    scope = {"interactions": new, "new_triples": None}
    scope["new_items"] = pd.DataFrame({"item": ["B200"], "title": ["Film"], "genre": ["Drama"]})
    exec(compile(first, str(PAGE), "exec"), scope)
    monday = Ranker.from_pretrained("outputs/shop-monday")
    assert monday.context.catalogue.ids[-1] == "B200"
    scope = {"ranker": monday, "Path": Path}
    exec(compile(second, str(PAGE), "exec"), scope)


def test_the_table_of_the_page_is_that_of_the_result():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    table = update.table(stored("update")["sets"])
    assert f"<!-- update -->\n{table}\n<!-- /update -->" in text
