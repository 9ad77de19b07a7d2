"""docs/install.md: its commands exist, its extras and lowest versions are those of pyproject.toml."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.pages import blocks
from packaging.requirements import Requirement

from lkgrag.cli.command import parse
from lkgrag.cli.commands import COMMANDS
from lkgrag.cli.console import main
from lkgrag.config.loading import load_config

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "install.md"
TEXT = PAGE.read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lines(program):
    """The words after a program on each line of the page that calls it."""
    found = re.compile(rf"(?:^|[\s(]){program} ([^>)\n]*)")
    for block in blocks(PAGE, "bash"):
        for line in block.splitlines():
            for words in found.findall(line.partition("#")[0]):
                yield shlex.split(words.strip().rstrip("\"'"))


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 80


def test_its_commands_work(monkeypatch, capsys):
    """Those that print are run; of those that train, the options are checked."""
    seen = [*lines("lkgrag"), *lines("python -m lkgrag"), *lines("-v lkgrag:/data lkgrag")]
    assert len(seen) > 8
    for words in seen:
        if words and words[0] in COMMANDS and "--help" not in words:
            pairs, _ = parse(words[1:])
            load_config(pairs)
        elif words and words[0] not in (".", ":cuda"):
            monkeypatch.setattr(sys, "argv", ["lkgrag", *words])
            assert main() == 0, words
            assert capsys.readouterr().out


def test_its_extras_are_those_of_the_project():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", TEXT, flags=re.M)
    listed = [name for row in rows for name in re.findall(r"\w+", row)]
    assert sorted(listed) == sorted(PROJECT["optional-dependencies"])


def lowest():
    """The table of lowest versions, as the page has it."""
    names = [Requirement(text) for text in PROJECT["dependencies"]]
    rows = [f"{r.name} {next(iter(r.specifier)).version}" for r in names]
    return ", ".join(rows) + "."


def wrapped(text):
    return " ".join(text.split())


def test_its_lowest_versions_are_those_of_the_project():
    shown = re.search(r"<!-- lowest -->\n(.*?)<!-- /lowest -->", TEXT, flags=re.S)[1]
    assert wrapped(shown) == lowest()


@pytest.mark.parametrize(
    "file", ["Dockerfile", ".github/workflows/ci.yml", ".ci/matrix", "constraints.txt"]
)
def test_files_that_it_names_are_there(file):
    assert file.rpartition("/")[2] in TEXT or file == "Dockerfile"
    assert (ROOT / file).exists()
