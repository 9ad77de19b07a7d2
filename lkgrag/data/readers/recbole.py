"""RecBole atomic files: ``.inter`` (or ``.train.inter .valid.inter .test.inter``), ``.item .user .kg .link``.

The first line names the columns as ``name:type`` with the types ``token``, ``token_seq``,
``float`` and ``float_seq``; columns are separated by tabs, values of a sequence by spaces
(https://recbole.io/docs/user_guide/data/atomic_files.html). The files of a benchmark that others have split
(https://recbole.io/docs/user_guide/config/data_settings.html, ``benchmark_filename``) may have rows of a
history, ``item_id_list:token_seq``, and the next item; the sequences are restored.
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
from lkgrag.data.readers.batches import batched
from lkgrag.data.readers.formats import Batch
from lkgrag.data.readers.packed import existing
from lkgrag.data.readers.parts import Part, read_parts
from lkgrag.data.readers.text import (
    check_header,
    check_width,
    guess_separator,
    read_rows,
    table_of,
)
from lkgrag.data.tables import Tables
from lkgrag.data.usual_names import name_unused
from lkgrag.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lkgrag.config import DataConfig

log = logging.getLogger(__name__)

SUFFIXES = (".item", ".user", ".kg", ".link")
INTER = ".inter"
#: Parts of a benchmark, in the order of time.
PARTS = ("train", "valid", "val", "validation", "dev", "test")
#: What RecBole's names of histories end in.
LIST = "_list"
TYPES = ("token", "token_seq", "float", "float_seq")
#: RecBole's usual names of columns, by the words of ``data.columns``.
NAMES = {
    "user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp",
    "title": "title", "entity": "entity_id",
    "head": "head_id", "relation": "relation_id", "tail": "tail_id",
}  # fmt: skip
ADVICE = "; name yours by data.columns, as data.columns={user: uid, item: iid}"
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
        check_header(list(self.types), columns, self.path, ADVICE)


def read_atomic(path: Path, separator: str = "\t") -> AtomicFile:
    """Read one atomic file.

    Args:
        path: the file.
        separator: between fields; a comma is read as CSV with quotes, all others literally.

    Raises:
        DataError: no such file, not UTF-8, an empty file, a header without types, or a row with
            another number of fields; the message names the line.
    """
    types, records = _open_atomic(path, separator)
    return AtomicFile(table_of(records, list(types), path), types, path)


def _open_atomic(
    path: Path, separator: str
) -> tuple[dict[str, str], Iterator[tuple[int, list[str]]]]:
    """The type of each column, and the rows as they are asked for."""
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
                f"of {', '.join(TYPES)}, separated by {separator!r} (data.separator){_other(field)}"
            )
        types[name] = kind
        names.append(name)
    check_header(names, (), path)
    return types, records


def _other(field: str) -> str:
    """What seems to separate a header that is one field."""
    found = guess_separator(field)
    return f"; here {found!r} seems to separate" if field.count(":") > 1 and found in field else ""


def stem_of(name: str) -> str:
    """The stem of an ``.inter`` file, without the word for a part of a benchmark."""
    stem = name.removesuffix(INTER)
    before, _, part = stem.rpartition(".")
    return before if before and part in PARTS else stem


def inter_files(folder: Path, name: str) -> list[Path]:
    """The file of interactions, or those of a benchmark's parts where it is missing."""
    whole = existing(folder / f"{name}{INTER}")
    parts = [existing(folder / f"{name}.{part}{INTER}") for part in PARTS]
    found = [part for part in parts if part.is_file()]
    return [whole] if whole.is_file() or not found else found


class RecBole(Reader):
    """A folder of ``<data.name>.inter`` and its companions."""

    name = "recbole"
    renames = True

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The files of the stem ``data.name``, those of interactions first."""
        others = [existing(folder / f"{config.name}{suffix}") for suffix in SUFFIXES]
        return [*inter_files(folder, config.name), *others]

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the folder."""
        return read_recbole(
            folder,
            config.name,
            config.separator,
            config.seq_separator,
            config.columns,
            config.time_unit,
        )


def read_recbole(
    folder: Path,
    name: str,
    separator: str = "\t",
    seq_separator: str = " ",
    columns: dict[str, str] | None = None,
    time_unit: str = "any",
) -> Tables:
    r"""Read a folder of atomic files.

    Args:
        folder: holds ``<name>.inter`` and optionally ``<name>.item``, ``.user``, ``.kg``, ``.link``.
        name: the files' stem.
        separator: between columns; ``\t`` in two characters is a tab.
        seq_separator: between the values of a ``token_seq``.
        columns: the files' names of ``user item rating time title entity head relation tail``, where
            they differ from RecBole's.
        time_unit: a word of ``data.time_unit``; of several files of interactions each is checked by it.

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
        path = existing(folder / f"{name}{suffix}")
        return read_atomic(path, separator) if path.exists() else None

    def part(file: AtomicFile, words: tuple[str, ...]) -> pd.DataFrame:
        file.need(*(given[word] for word in words))
        return file.table[[given[word] for word in words]].set_axis(list(words), axis=1)

    def id_part(file: AtomicFile, words: tuple[str, ...]) -> pd.DataFrame:
        table = part(file, words)
        return table.assign(**{w: ids(table[w], str(file.path), given[w]) for w in words})

    files = inter_files(folder, name)
    events, notes = _events(files, given, columns or {}, (separator, seq_separator), time_unit)
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
        source=str(files[0]),
        names=given,
        notes=notes,
    )


def _events(
    files: list[Path],
    given: dict[str, str],
    columns: dict[str, str],
    separators: tuple[str, str],
    unit: str,
) -> tuple[pd.DataFrame, list[str]]:
    """The interactions of all parts, and what there is to tell of them."""
    separator, seq_separator = separators
    history, moments = given["item"] + LIST, given["time"] + LIST
    parts = []
    for path in files:
        types, _ = _open_atomic(path, separator)
        more = [w for w in ("rating", "time") if given[w] in types or w in columns]
        take = {word: given[word] for word in ("user", "item", *more)}
        check_header(list(types), tuple(take.values()), path, ADVICE)
        name_unused(list(types), given, str(path))
        there = [name if name in types else None for name in (history, moments)]
        wanted = [*take.values(), *(name for name in there if name is not None)]
        parts.append(Part(path, take, _batches(path, separator, wanted), *there))
    return read_parts(parts, unit, seq_separator)


def _batches(path: Path, separator: str, columns: list[str]) -> Iterator[Batch]:
    """Some columns of an atomic file, batch by batch."""
    types, records = _open_atomic(path, separator)
    header = list(types)
    places = {column: header.index(column) for column in columns}
    for batch in batched(records):
        for number, row in batch:
            check_width(row, header, path, number)
        lines = [number for number, _ in batch]
        yield lines, {column: [row[place] for _, row in batch] for column, place in places.items()}


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
