"""A plain table of interactions, as CSV, JSON lines or Parquet, and tables of items, users and triples beside it.

The interactions are in the file named ``data.name``, in one with a usual name (:mod:`lkgrag.data.readers.table_files`), or in the only
table that is nothing else. Columns are found by their usual names (:mod:`lkgrag.data.readers.column_names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.cleaning.columns import ROW
from lkgrag.data.frames import check_columns
from lkgrag.data.readers.attribute_columns import attribute_columns
from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.batches import EVENT, EventTable
from lkgrag.data.readers.column_names import ALIASES, need_columns, usual_columns
from lkgrag.data.readers.formats import (
    Piece,
    TableFile,
    TextTable,
    parquet_parts,
)
from lkgrag.data.readers.histories import HISTORY
from lkgrag.data.readers.parts import Part, read_parts
from lkgrag.data.readers.table_files import find_tables, known_tables, open_table_file
from lkgrag.data.tables import Tables
from lkgrag.data.usual_names import plain
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig


TRIPLE = ("head", "relation", "tail")
LINK = ("item", "entity")


class TableReader(Reader):
    """A table of interactions, and optional tables of items, users, triples and links."""

    name = "table"
    renames = True

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """Files of interactions (several where they are split), items, users, triples and links."""
        places = find_tables(folder, config)
        named = [
            p for kind in ("events", "items", "users", "triples", "links") for p in places[kind]
        ]
        files = [
            part for path in named for part in (parquet_parts(path) if path.exists() else [path])
        ]
        return files or [folder / f"{config.name}.csv"]

    def matches(self, folder: Path, config: DataConfig) -> bool:
        """Whether there is a table with users and items."""
        try:
            events = find_tables(folder, config)["events"]
            if not events:
                return False
            columns = _open_events(events[0], config).columns()
        except DataError:
            # Another reader may know the folder; if none does, this is told.
            return False
        found = usual_columns(columns, EVENT, config.columns)
        return "user" in found and "item" in found

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the tables; of the interactions only the columns that are used."""
        check_columns(config.columns)
        places = find_tables(folder, config)
        if not places["events"]:
            raise DataError(_no_events(folder, config))
        notes: list[str] = []
        events, names = _events(places["events"], config, notes)
        items = users = triples = links = None
        for path in places["items"]:
            items = _described(path, "item", config, notes)
        for path in places["users"]:
            users = _described(path, "user", config, notes)
        for path in places["triples"]:
            triples = _columns(path, TRIPLE, config, notes)
        for path in places["links"]:
            links = _columns(path, LINK, config, notes)
        unread = sorted(
            p.name for p in known_tables(folder, config) if not any(p in v for v in places.values())
        )
        if unread:
            notes.append(f"not read: {', '.join(unread[:8])}")
        return Tables(
            interactions=events,
            items=items,
            users=users,
            triples=triples,
            links=links,
            source=str(places["events"][0]),
            names=names,
            notes=notes,
        )


def stream_events(
    folder: Path, config: DataConfig, piece: Piece | None = None
) -> Iterator[Tables] | None:
    """The interactions batch by batch, where memory could not hold them all.

    Args:
        folder: of the tables.
        config: of the data.
        piece: of :func:`event_pieces`; all by default.

    Returns:
        Tables of interactions alone, whose index counts lines or rows of the file. None where a file has histories,
        which are put together from all rows.

    Raises:
        DataError: there is no table, or it is broken.
    """
    opened = _open_plain(folder, config)
    if opened is None:
        return None
    if piece is not None:
        opened = [o for o in opened if o[0] == piece.path]
    return _stream(opened, config, piece)


def event_pieces(folder: Path, config: DataConfig, most: int) -> list[Piece] | None:
    """Divide the interactions into pieces, in their order.

    Args:
        folder: of the tables.
        config: of the data.
        most: rows of a piece, where a format can be read from a row on.

    Returns:
        None where a file has histories.

    Raises:
        DataError: there is no table, or it is broken.
    """
    opened = _open_plain(folder, config)
    if opened is None:
        return None
    return [piece for _, file, _ in opened for piece in file.pieces(most)]


def _open_plain(
    folder: Path, config: DataConfig
) -> list[tuple[Path, TableFile, dict[str, str]]] | None:
    """The tables of interactions and the names of their columns; None where one has histories."""
    check_columns(config.columns)
    opened = []
    for path in find_tables(folder, config)["events"]:
        file = _open_events(path, config)
        columns = file.columns()
        found = _check(columns, config.columns, path)
        if any(plain(c) in HISTORY and c not in found.values() for c in columns):
            return None
        opened.append((path, file, found))
    if not opened:
        raise DataError(_no_events(folder, config))
    return opened


def _stream(
    opened: list[tuple[Path, TableFile, dict[str, str]]],
    config: DataConfig,
    piece: Piece | None,
) -> Iterator[Tables]:
    for path, file, found in opened:
        row = piece.before if piece else 0
        names = [*found.values()]
        for lines, values in file.piece_batches(piece, names) if piece else file.batches(names):
            table = EventTable(path, found, config.time_unit == "s", has_commas=True)
            table.add({word: values[name] for word, name in found.items()}, lines)
            if not len(table):
                continue
            events = table.build()
            if lines is None:
                events.index = pd.RangeIndex(row, row + len(events), name=ROW)
            row += len(events)
            yield Tables(interactions=events, source=str(path), names=found)


def describe_tables(folder: Path, config: DataConfig) -> str | None:
    """Why the tables of a folder are not read as interactions; None where there is no table."""
    try:
        events = find_tables(folder, config)["events"]
        if not events:
            return _no_events(folder, config) if known_tables(folder, config) else None
        _check(_open_events(events[0], config).columns(), config.columns, events[0])
    except DataError as error:
        return str(error)
    return None


def _open_events(path: Path, config: DataConfig) -> TableFile:
    """A table of interactions; ``data.columns`` may have numbers where line 1 names no columns."""
    file = open_table_file(path, config)
    numbers = [name for name in config.columns.values() if re.fullmatch(r"\d{1,4}", name)]
    if isinstance(file, TextTable) and numbers:
        known = {alias for meaning in EVENT for alias in ALIASES[meaning]}
        header = file.columns()
        # pandas writes 0, 1, 2, ... above columns without names.
        is_counted = header == [str(number) for number in range(len(header))]
        file.has_header = is_counted or any(plain(c) in known for c in header)
    return file


def _check(columns: list[str], given: dict[str, str], path: Path) -> dict[str, str]:
    """The columns of interactions.

    Raises:
        DataError: there is no user or item, or no column that ``data.columns`` names.
    """
    found = usual_columns(columns, EVENT, given)
    try:
        need_columns(
            found, [*EVENT[:2], *(m for m in EVENT if m in given)], columns, given, str(path)
        )
    except DataError as error:
        if not given and any(re.fullmatch(r"[\d.]+", column) for column in columns):
            raise DataError(
                f"{error}; if line 1 is no header, give numbers: data.columns={{user: 1, item: 2}}"
            ) from None
        raise
    return found


def _events(
    paths: list[Path], config: DataConfig, notes: list[str]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The interactions of one or more files, and the names of their columns."""
    parts = []
    for path in paths:
        file = _open_events(path, config)
        columns = file.columns()
        found = _check(columns, config.columns, path)
        history = next(
            (c for c in columns if plain(c) in HISTORY and c not in found.values()), None
        )
        wanted = [*found.values(), *([history] if history else [])]
        parts.append(Part(path, found, file.batches(wanted), history))
        if len(parts) == 1:
            notes.append(f"{path.name}: {_taken(found)}{_unused(columns, found, history)}")
    events, more = read_parts(parts, config.time_unit, is_plain=True)
    notes.extend(more)
    return events, parts[0].names


def _taken(found: dict[str, str]) -> str:
    """What was taken for what, in words."""
    return ", ".join(f"{meaning} is {column}" for meaning, column in found.items())


def _unused(columns: Iterable[str], found: dict[str, str], history: str | None) -> str:
    """Columns that look like a user, an item, a rating or a time, and are not used."""
    known = {alias for meaning in EVENT for alias in ALIASES[meaning]}
    left = [c for c in columns if c not in found.values() and plain(c) in known and c != history]
    return f"; not used: {', '.join(left)} (data.columns chooses)" if left else ""


def _described(path: Path, key: str, config: DataConfig, notes: list[str]) -> pd.DataFrame:
    """A table of items or users: their ids, titles and attributes."""
    file = open_table_file(path, config)
    columns = file.columns()
    given = config.columns
    meanings = (key, "title") if key == "item" else (key,)
    # In a table of items a column `id` is the item.
    found = usual_columns(columns, meanings, given, is_strict=False)
    if key not in found:
        identifier = next((c for c in columns if plain(c) == "id"), None)
        found.update({key: identifier} if identifier else {})
    named = [m for m in meanings if m == "title" and m in given and given[m] not in columns]
    need_columns(
        {m: c for m, c in found.items() if m not in named}, [key, *named], columns, given, str(path)
    )
    table = file.table()
    # Another column that already has such a usual name means something else.
    table = table.drop(columns=[m for m, c in found.items() if m != c and m in columns])
    table = table.rename(columns={column: meaning for meaning, column in found.items()})
    table, left_out = attribute_columns(table, meanings, config.seq_separator)
    notes.append(
        f"{path.name}: {_taken(found)}" + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
    return table


def _columns(
    path: Path, words: tuple[str, ...], config: DataConfig, notes: list[str]
) -> pd.DataFrame:
    """Some columns of a table, all of which must be there."""
    file = open_table_file(path, config)
    columns, given = file.columns(), config.columns
    found = usual_columns(columns, words, given, is_strict=False)
    need_columns(found, words, columns, given, str(path))
    notes.append(f"{path.name}: {_taken(found)}")
    table = file.table()
    return pd.DataFrame({word: table[found[word]] for word in words})


def _no_events(folder: Path, config: DataConfig) -> str:
    there = sorted(p.name for p in folder.iterdir())[:8]
    return (
        f"{folder / (config.name + '.csv')}: no such file, and no other table of interactions; there is "
        f"{', '.join(there) or 'nothing'}: give the file itself by data.root"
    )
