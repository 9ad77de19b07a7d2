"""Ids from a file: one a line, or a column of a table; and which column of a table holds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lkgrag.data.cleaning.columns import LINE, ids
from lkgrag.data.readers.column_names import usual_columns
from lkgrag.data.readers.formats import FORMATS, TextTable, open_file, suffix_of
from lkgrag.data.readers.text import read_lines
from lkgrag.data.usual_names import plain
from lkgrag.errors import DataError, short
from lkgrag.utils.files import user_path

#: Files with one id a line, which are taken as they are, without a header.
LINES = ".txt"
#: Characters of a list of columns that a message shows.
SHOWN = 200


def pick_column(columns: Iterable[object], meaning: str, source: str) -> str:
    """The column of a table that holds ids: its only one, or the one with a usual name.

    Args:
        columns: names that the table has.
        meaning: ``user`` or ``item``.
        source: of the table, for messages.

    Raises:
        DataError: there are several columns, and none has a usual name.
    """
    names = [str(column) for column in columns]
    found = names[0] if len(names) == 1 else _find_usual(names, meaning)
    if found is None:
        raise DataError(
            f"{source}: no column is known as the {meaning}. Columns there: "
            f"{', '.join(names)[:SHOWN] or 'none'}; name one of them '{meaning}'"
        )
    return found


def _find_usual(names: list[str], meaning: str) -> str | None:
    """The column with a usual name of this meaning; in a table of ids `id` is one, and so is the plural."""
    found = usual_columns(names, (meaning,), {}).get(meaning)
    others = ("id", f"{meaning}s", f"{meaning}ids", "ids")
    return found or next((name for word in others for name in names if plain(name) == word), None)


def read_ids(path: Path, meaning: str, option: str) -> list[str]:
    """The ids in a file, each once, in the order of the file.

    A ``.txt`` file holds one id a line. Tables (CSV, TSV, JSON lines, Parquet, Arrow) hold them in their only column,
    or in the one with a usual name. The first line of a text table with a single column counts as its header if it is
    a usual name, else as an id.

    Args:
        path: the file, perhaps gzipped.
        meaning: ``user`` or ``item``.
        option: that names the file, for messages.

    Raises:
        DataError: the file is missing or broken, of another kind, or holds no id; a cell is empty or no id.
    """
    path = user_path(path, option)
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise DataError(f"{option}={path}: {what}; give a file with one {meaning} a line")
    suffix = suffix_of(path)
    if suffix not in FORMATS:
        known = ", ".join(sorted(FORMATS))
        raise DataError(f"{option}={path}: not one of the files that are read ({known})")
    if suffix == LINES:
        numbered = [(n, line.strip()) for n, line in enumerate(read_lines(path), 1) if line.strip()]
        cells = pd.Series([text for _, text in numbered], dtype=object)
        name = meaning
    else:
        cells, name = _read_column(path, meaning, option)
    if not len(cells):
        raise DataError(f"{option}={path}: there is no {meaning} in it; give one a line")
    return list(dict.fromkeys(ids(cells, str(path), name).tolist()))


def _read_column(path: Path, meaning: str, option: str) -> tuple[pd.Series, str]:
    """The column of ids of a table in a file, and its name."""
    table = open_file(path)
    columns = table.columns()
    if isinstance(table, TextTable) and len(columns) == 1 and not _find_usual(columns, meaning):
        # Line 1 is an id, too.
        table.has_header = False
        columns = table.columns()
    name = pick_column(columns, meaning, f"{option}={path}")
    parts = []
    for lines, values in table.batches([name]):
        cells = values[name]
        column = cells if isinstance(cells, pd.Series) else pd.Series(cells, dtype=object)
        parts.append(column if lines is None else column.set_axis(pd.Index(lines, name=LINE)))
    if not parts:
        return pd.Series([], dtype=object), name
    is_numbered = parts[0].index.name == LINE
    return pd.concat(parts, ignore_index=not is_numbered), short(name)
