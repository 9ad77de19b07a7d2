"""RecBole atomic files: ``.inter``, and optional ``.item .user .kg .link``.

The first line names the columns as ``name:type`` with the types ``token``, ``token_seq``,
``float`` and ``float_seq``; columns are separated by tabs, values of a sequence by spaces
(https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.interactions import Tables
from lkgrag.data.readers.base import Reader, floats, read_lines
from lkgrag.errors import DataError, nearest

if TYPE_CHECKING:
    from lkgrag.config import DataConfig

SUFFIXES = (".inter", ".item", ".user", ".kg", ".link")
TYPES = ("token", "token_seq", "float", "float_seq")
USER, ITEM, RATING, TIME = "user_id", "item_id", "rating", "timestamp"
ENTITY, HEAD, RELATION, TAIL = "entity_id", "head_id", "relation_id", "tail_id"
#: Columns that hold an item's title, tried in this order.
TITLES = ("title", "movie_title", "name", "item_name", "book_title", "product_title")


@dataclass(frozen=True)
class AtomicFile:
    """One parsed file: its table of strings and the type of each column."""

    table: pd.DataFrame
    types: dict[str, str]
    path: Path

    def need(self, *columns: str) -> None:
        """Check that columns are there.

        Raises:
            DataError: naming the file, the column and the nearest one.
        """
        for column in columns:
            if column not in self.types:
                raise DataError(
                    f"{self.path}: line 1 has no column '{column}'."
                    f"{nearest(column, self.types)} Columns there: {', '.join(self.types)}"
                )


def read_atomic(path: Path, separator: str = "\t") -> AtomicFile:
    """Read one atomic file.

    Raises:
        DataError: no such file, not UTF-8, an empty file, a header without types, or a row with
            another number of fields; the message names the line.
    """
    lines = list(read_lines(path))
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(
            f"{path}: the file is empty; line 1 must name the columns, as user_id:token"
        )
    header = lines[0].split(separator)
    types: dict[str, str] = {}
    for field in header:
        name, _, kind = field.strip().rpartition(":")
        if not name or kind not in TYPES:
            raise DataError(
                f"{path}: line 1, field {field[:40]!r}: a column is named as name:type with a type "
                f"of {', '.join(TYPES)}, separated by tabs"
            )
        if name in types:
            raise DataError(f"{path}: line 1 names the column '{name}' twice")
        types[name] = kind
    rows = [row.split(separator) for row in lines[1:] if row]
    width = len(types)
    for number, row in enumerate(rows, start=2):
        if len(row) != width:
            raise DataError(f"{path}: line {number}: {len(row)} fields where line 1 names {width}")
    return AtomicFile(pd.DataFrame(rows, columns=list(types), dtype=object), types, path)


class RecBole(Reader):
    """A folder of ``<data.name>.inter`` and its companions."""

    name = "recbole"

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The five files of the stem ``data.name``."""
        return [folder / f"{config.name}{suffix}" for suffix in SUFFIXES]

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the folder."""
        return read_recbole(folder, config.name, config.separator)


def read_recbole(folder: Path, name: str, separator: str = "\t") -> Tables:
    """Read a folder of atomic files.

    Args:
        folder: holds ``<name>.inter`` and optionally ``<name>.item``, ``.user``, ``.kg``, ``.link``.
        name: the files' stem.
        separator: between columns.

    Raises:
        DataError: a file is missing or broken, or a column is missing.
    """

    def optional(suffix: str) -> AtomicFile | None:
        path = folder / f"{name}{suffix}"
        return read_atomic(path, separator) if path.is_file() else None

    inter = read_atomic(folder / f"{name}.inter", separator)
    inter.need(USER, ITEM)
    events = pd.DataFrame({"user": inter.table[USER], "item": inter.table[ITEM]})
    for column, source in (("rating", RATING), ("time", TIME)):
        if source in inter.types:
            events[column] = floats(inter.table, source, inter.path)
    item, user = optional(".item"), optional(".user")
    kg, link = optional(".kg"), optional(".link")
    triples = links = None
    if kg is not None:
        kg.need(HEAD, RELATION, TAIL)
        triples = kg.table.rename(columns={HEAD: "head", RELATION: "relation", TAIL: "tail"})
    if link is not None:
        link.need(ITEM, ENTITY)
        links = link.table.rename(columns={ITEM: "item", ENTITY: "entity"})
    return Tables(
        interactions=events,
        items=None if item is None else _metadata(item, ITEM, "item", titles=True),
        users=None if user is None else _metadata(user, USER, "user", titles=False),
        triples=triples,
        links=links,
        source=str(folder / f"{name}.inter"),
    )


def _metadata(file: AtomicFile, key: str, name: str, titles: bool) -> pd.DataFrame:
    """Attributes as lists of strings; ``token_seq`` columns are split, the title is not."""
    file.need(key)
    out = pd.DataFrame({name: file.table[key]})
    title = next((t for t in TITLES if t in file.types), None) if titles else None
    for column, kind in file.types.items():
        if column == key:
            continue
        values = file.table[column]
        if column == title:
            out["title"] = values
        elif kind == "token_seq":
            out[column] = [v.split() for v in values]
        elif kind == "token":
            out[column] = [[v] if v else [] for v in values]
        # Numbers are no nodes: a price or a score shares its value by chance, not by meaning.
    return out
