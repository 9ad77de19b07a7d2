"""The page for contributors and the pages of the API follow the package."""

import re
from pathlib import Path

from test_layering import COMMANDS, ROOMS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "contributing.md").read_text(encoding="utf-8")


def test_it_lists_the_rooms_from_bottom_to_top():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.M) == list(ROOMS)


def test_it_names_every_command():
    (line,) = re.findall(r"The modules at the root are the commands: (.*?)\.", PAGE, flags=re.S)
    assert sorted(re.findall(r"`(\w+)`", line)) == sorted(COMMANDS)


def test_it_is_short():
    assert len(PAGE.splitlines()) <= 120


def test_the_api_has_a_page_for_each_room_in_their_order():
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    (names,) = re.findall(r"```\{toctree\}\n:maxdepth: 1\n\n(.*?)\n```", index, flags=re.S)
    assert names.split() == list(ROOMS)
    assert {page.stem for page in (DOCS / "api").glob("*.md")} == {"index", *ROOMS}


def test_every_page_is_linked_from_the_first():
    first = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {
        name
        for block in re.findall(r"```\{toctree\}\n.*?```", first, flags=re.S)
        for name in block.split("\n")
    }
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert pages <= listed
