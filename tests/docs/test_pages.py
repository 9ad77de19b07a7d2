"""README and the pages show what works: options of every command line exist, the tutorial holds."""

import re
import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest
from helpers.pages import blocks, command_lines

from benchmarks.common import stored
from benchmarks.quality import page as quality_page
from benchmarks.record import markdown
from lkgrag.cli.command import parse
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, nearest

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


LINES = [(page.stem, *line) for page in PAGES for line in command_lines(page)]


def test_there_are_command_lines():
    assert len(LINES) > 20


@pytest.mark.parametrize(("page", "module", "words"), LINES)
def test_options_of_command_lines_exist(page, module, words):
    name = "lkgrag.report.__main__" if module == "lkgrag.report" else module
    command = import_module(name).COMMAND
    pairs, _ = parse(words)
    rest = {key: text for key, text in pairs.items() if key not in command.options}
    # A file that another command of the page writes.
    rest.pop("config", None)
    if command.configurable:
        load_config(rest)
    else:
        assert not rest


def test_the_messages_on_the_page_of_reliability_are_those_that_are_given():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError) as option:
        load_config({"trainig.lr": "1"})
    assert f"error: {option.value}\n" in text
    hint = nearest("u99", [f"u{n}" for n in range(48)])
    assert f"among the 48 of this run.{hint} For someone unknown" in text


def test_figures_of_quality_are_those_of_the_results():
    """README's table and the pages follow from the stored results and the papers' figures."""
    found = quality_page.blocks(quality_page.stored_results())
    assert len(found) == 8
    for page, marker, text in found:
        assert f"<!-- {marker} -->\n{text}\n<!-- /{marker} -->" in page.read_text(encoding="utf-8")


def test_tables_of_recorded_runs_are_those_of_the_records():
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in ("default-ml-100k", "processor-ml-100k"):
        table = markdown(stored(name))
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in pages


def masked(text):
    """Words without figures and line breaks, which depend on the machine and the terminal."""
    return re.sub(r"[-+]?(\d[\d,]*)?\.?\d+", "#", " ".join(text.split()))


def ranking(text):
    """The head and the titles of a ranking, in their order, without their figures."""
    return [masked(x) for x in text.splitlines() if re.match(r" +(title  |\d+[ *] \S)", x)]


@pytest.mark.slow
def test_the_tutorial_without_a_language_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told = blocks(TUTORIAL, "text")
    runpy.run_path(str(ROOT / "docs" / "examples" / "make_books.py"))
    assert capsys.readouterr().out in told
    module, words = next(line for line in command_lines(TUTORIAL) if "llm.name=none" in line[1])
    monkeypatch.setattr(sys, "argv", [module, *words])
    assert import_module(module).main() == 0
    stages = next(text for text in told if text.startswith("1. interactions"))
    assert masked(stages) in masked(capsys.readouterr().out)
    asked = [words for module, words in command_lines(TUTORIAL) if module == "lkgrag.recommend"]
    for words in asked:
        monkeypatch.setattr(sys, "argv", ["lkgrag.recommend", *words])
        assert import_module("lkgrag.recommend").main() == 0
        lines = ranking(capsys.readouterr().out)
        assert len(lines) == 4
        assert any(ranking(text) == lines for text in told)
    assert len(asked) == 2
    (example,) = blocks(TUTORIAL, "python")
    exec(compile(example, str(TUTORIAL), "exec"), {})
    assert capsys.readouterr().out in told
