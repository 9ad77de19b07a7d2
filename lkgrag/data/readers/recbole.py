"""RecBole atomic files: ``.inter``, and optional ``.item .user .kg .link``.

The first line names the columns as ``name:type`` with the types ``token``, ``token_seq``,
``float`` and ``float_seq``; columns are separated by tabs, values of a sequence by spaces
(https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.cleaning.columns import ids
from lkgrag.data.frames import check_columns
from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.text import check_header, read_rows, table_of
from lkgrag.data.tables import Tables
from lkgrag.data.usual_names import name_unused
from lkgrag.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig

log = logging.getLogger(__name__)

SUFFIXES = (".inter", ".item", ".user", ".kg", ".link")
TYPES = ("token", "token_seq", "float", "float_seq")
#: RecBole's usual names of columns, by the words of ``data.columns``.
NAMES = {
    "user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp",
    "title": "title", "entity": "entity_id",
    "head": "head_id", "relation": "relation_id", "tail": "tail_id",
}  # fmt: skip
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
        advice = "; name yours by data.columns, as data.columns={user: uid, item: iid}"
        check_header(list(self.types), columns, self.path, advice)


def read_atomic(path: Path, separator: str = "\t") -> AtomicFile:
    """Read one atomic file.

    Args:
        path: the file.
        separator: between fields; a comma is read as CSV with quotes, all others literally.

    Raises:
        DataError: no such file, not UTF-8, an empty file, a header without types, or a row with
            another number of fields; the message names the line.
    """
    records = read_rows(path, separator)
    _, header = next(records, (1, []))
    if not header:
        raise DataError(
            f"{path}: the file is empty; line 1 must name the columns, as user_id:token"
        )
    types: dict[str, str] = {}
    names = []
    for field in header:
        name, _, kind = field.strip().rpartition(":")
        # A colon in the name: several columns, separated by something else.
        if not name or ":" in name or kind not in TYPES:
            raise DataError(
                f"{path}: line 1, field {field[:40]!r}: a column is named as name:type with a type "
                f"of {', '.join(TYPES)}, separated by {separator!r} (data.separator)"
            )
        types[name] = kind
        names.append(name)
    check_header(names, (), path)
    return AtomicFile(table_of(records, names, path), types, path)


class RecBole(Reader):
    """A folder of ``<data.name>.inter`` and its companions."""

    name = "recbole"
    renames = True

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The five files of the stem ``data.name``."""
        return [folder / f"{config.name}{suffix}" for suffix in SUFFIXES]

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the folder."""
        return read_recbole(
            folder, config.name, config.separator, config.seq_separator, config.columns
        )


def read_recbole(
    folder: Path,
    name: str,
    separator: str = "\t",
    seq_separator: str = " ",
    columns: dict[str, str] | None = None,
) -> Tables:
    r"""Read a folder of atomic files.

    Args:
        folder: holds ``<name>.inter`` and optionally ``<name>.item``, ``.user``, ``.kg``, ``.link``.
        name: the files' stem.
        separator: between columns; ``\t`` in two characters is a tab.
        seq_separator: between the values of a ``token_seq``.
        columns: the files' names of ``user item rating time title entity head relation tail``, where
            they differ from RecBole's.

    Raises:
        ConfigError: ``columns`` has another word, or a separator is empty.
        DataError: a file is missing or broken, or a column is missing.
    """
    check_columns(columns or {})
    given = {**NAMES, **(columns or {})}
    separator, seq_separator = (s.replace("\\t", "\t") for s in (separator, seq_separator))
    if not separator or not seq_separator:
        raise ConfigError("data.separator and data.seq_separator must not be empty")

    def optional(suffix: str) -> AtomicFile | None:
        path = folder / f"{name}{suffix}"
        return read_atomic(path, separator) if path.exists() else None

    def part(file: AtomicFile, words: tuple[str, ...]) -> pd.DataFrame:
        file.need(*(given[word] for word in words))
        return file.table[[given[word] for word in words]].set_axis(list(words), axis=1)

    def id_part(file: AtomicFile, words: tuple[str, ...]) -> pd.DataFrame:
        table = part(file, words)
        return table.assign(**{w: ids(table[w], str(file.path), given[w]) for w in words})

    inter = read_atomic(folder / f"{name}.inter", separator)
    more = [w for w in ("rating", "time") if given[w] in inter.types or w in (columns or {})]
    events = part(inter, ("user", "item", *more))
    name_unused(list(inter.types), given, str(inter.path))
    item, user = optional(".item"), optional(".user")
    kg, link = optional(".kg"), optional(".link")
    if item is not None and "title" in (columns or {}):
        item.need(given["title"])
    titles = (given["title"],) if "title" in (columns or {}) else TITLES
    return Tables(
        interactions=events,
        items=None if item is None else _metadata(item, given, "item", seq_separator, titles),
        users=None if user is None else _metadata(user, given, "user", seq_separator, ()),
        triples=None if kg is None else id_part(kg, ("head", "relation", "tail")),
        links=None if link is None else id_part(link, ("item", "entity")),
        source=str(folder / f"{name}.inter"),
        names=given,
    )


def _metadata(
    file: AtomicFile, given: dict[str, str], key: str, separator: str, titles: tuple[str, ...]
) -> pd.DataFrame:
    """Attributes as lists of strings; ``token_seq`` columns are split, the title is not."""
    file.need(given[key])
    out = pd.DataFrame({key: ids(file.table[given[key]], str(file.path), given[key])})
    title = next((t for t in titles if t in file.types), None)
    for column, kind in file.types.items():
        if column == given[key]:
            continue
        values = file.table[column]
        if column == title:
            out["title"] = values
        elif column in out.columns:
            log.warning(
                "%s: the column '%s' is not used: '%s' has its place",
                *(file.path, column, given[key]),
            )
        elif kind == "token_seq":
            out[column] = [[t for t in v.split(separator) if t] for v in values]
        elif kind == "token":
            out[column] = [[v] if v else [] for v in values]
        # Numbers are no nodes: a price or a score shares its value by chance, not by meaning.
    return out
