"""The notebooks are stored without what an execution leaves; the build of the docs executes them."""

import re
import runpy
import sys
from pathlib import Path

import nbformat
import pytest

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted(DOCS.rglob("*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if "_build" not in path.parts]
#: Metadata that may be stored: nothing of the machine or the editor.
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
TAGS = {"hide-output"}


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def leftovers(notebook):
    """What an execution, an editor or a machine left in a notebook, in words."""
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    if notebook.metadata != metadata:
        yield f"metadata: {dict(notebook.metadata)}"
    for number, cell in enumerate(notebook.cells):
        if cell.get("outputs"):
            yield f"cell {number}: output"
        if cell.get("execution_count") is not None:
            yield f"cell {number}: execution count"
        if cell.get("attachments"):
            yield f"cell {number}: attachments"
        if set(cell.metadata) - {"tags"} or set(cell.metadata.get("tags", [])) - TAGS:
            yield f"cell {number}: metadata {dict(cell.metadata)}"


def test_there_are_two():
    assert [path.name for path in NOTEBOOKS] == ["compare-scorers.ipynb", "own-data.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_an_execution_is_stored(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert list(leftovers(notebook)) == []


def test_what_an_execution_leaves_is_found():
    notebook = read(NOTEBOOKS[0])
    places = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"][:4]
    first, second, third, fourth = (notebook.cells[n] for n in places)
    first.outputs = [nbformat.v4.new_output("stream", text="1")]
    second.execution_count = 3
    third.metadata["collapsed"] = True
    fourth.metadata["tags"] = ["skip-execution"]
    notebook.metadata.language_info["version"] = "3.12.1"
    found = list(leftovers(notebook))
    assert found[0].startswith("metadata: ")
    words = ("output", "execution count", "metadata", "metadata")
    for line, place, word in zip(found[1:], places, words, strict=True):
        assert line.startswith(f"cell {place}: {word}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_is_short_and_every_link_leads_somewhere(path):
    for cell in read(path).cells:
        assert len(cell.source.splitlines()) <= 30
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#:]+)\)", cell.source):
                assert (path.parent / target).is_file(), target


def test_the_build_executes_them_and_stops_at_an_error(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    scope = runpy.run_path(str(DOCS / "conf.py"))
    assert "myst_nb" in scope["extensions"]
    assert scope["nb_execution_mode"] == "cache"
    assert scope["nb_execution_raise_on_error"]
    assert scope["nb_execution_timeout"] <= 600
    assert scope["nb_ipywidgets_js"] == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_are_linked_from_the_first_page(path):
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    start = index[index.index(":caption: Start") : index.index(":caption: Extend")]
    assert f"\nnotebooks/{path.stem}\n" in start
