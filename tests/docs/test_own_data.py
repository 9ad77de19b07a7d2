"""The decision table of the page on own data: every row's command reads such data."""

import re
import shlex
from pathlib import Path

import pytest

from lkgrag.cli.command import parse
from lkgrag.config.loading import load_config
from lkgrag.data import Interactions
from lkgrag.data.readers import read_tables
from tests.data.readers.test_generations import LAYOUTS, PLAIN, T, bytes_of

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
WHO = ",".join(["who", "what", "when"]) + "\n"
ROWS = "".join(f"{u},{i},{t}\n" for u, i, _, t in PLAIN)

#: By the first words of a row: the files that it speaks of.
FILES = {
    "one table of interactions": {"shop.csv": "user,item,time\n" + ROWS, "other.csv": "a,b\n1,2\n"},
    "a folder with such a table": LAYOUTS["csv"][1],
    "a table whose columns": {"sales.csv": WHO + ROWS},
    "a table without a header": {"sales.csv": ROWS},
    "times that are no seconds": {"sales.csv": "user,item,time\n" + ROWS.replace(str(T)[:9], str(T)[:9] + "000")},
    "MovieLens": LAYOUTS["movielens 25M"][1],
    "Amazon": LAYOUTS["amazon 2023"][1],
    "RecBole": {n.replace("x.", "shop."): c for n, c in LAYOUTS["recbole"][1].items()},
}  # fmt: skip
#: Rows about ZIP archives, Python and custom readers; they are tested elsewhere.
OTHERS = ("a ZIP archive", "tables in Python", "a graph in Python", "files of another layout")


def table():
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("| what you have |") :].split("\n\n")[0]
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in section.splitlines()[2:]]
    return {row[0].strip(): row[1].strip().strip("`") for row in rows}


def test_every_row_is_known():
    known = (*FILES, *OTHERS)
    assert all(any(row.startswith(word) for word in known) for row in table())
    assert len(table()) == len(known)


@pytest.mark.parametrize("words", FILES)
def test_what_a_row_says_reads_such_data(tmp_path, words):
    command = next(what for row, what in table().items() if row.startswith(words))
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, content in FILES[words].items():
        (folder / name).write_bytes(bytes_of(content))
    given = re.sub(
        r"/data/[\w.-]+",
        lambda m: str(folder / "shop.csv" if m[0].endswith(".csv") else folder),
        command,
    )
    pairs, _ = parse(shlex.split(given))
    config = load_config({**pairs, "data.min_user": "1", "data.min_item": "1"})
    x = Interactions.from_tables(read_tables(config.data)[0], config.data)
    assert (x.num_users, x.num_items, len(x)) == (2, 2, 3)
