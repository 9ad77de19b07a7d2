"""The interactions of one or more files, and of the histories in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lkgrag.data.cleaning.columns import ids, numbers, times
from lkgrag.data.readers.batches import EventTable
from lkgrag.data.readers.histories import Histories, listed_history


@dataclass(frozen=True)
class Part:
    """One file of interactions.

    Attributes:
        path: of the file.
        names: usual name -> name in the file, of the columns that are read.
        batches: lines (None: rows are counted) and values by column of the file.
        history: name of the column with the items before; None where there is none.
        moments: name of the column with the times of those items, likewise.
    """

    path: Path
    names: dict[str, str]
    batches: Iterable[tuple[list[int] | None, dict[str, Any]]]
    history: str | None = None
    moments: str | None = None

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        return [*self.names.values(), *(c for c in (self.history, self.moments) if c is not None)]


def read_parts(
    parts: list[Part], unit: str, separator: str | None = None, is_plain: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Read the interactions of all files, in the order of the files.

    Args:
        parts: the files; if one has histories, all sequences are put together.
        unit: of times, a word of ``data.time_unit``.
        separator: between the items of a history; None for spaces.
        is_plain: whether text as ``2015-03-31`` is a date without an option, and ratings may be ``4,5``.

    Returns:
        Columns ``user item`` and optional ``rating time``; and what there is to tell of the files.

    Raises:
        DataError: a file is broken, or no file holds a row.
    """
    has_histories = any(part.history is not None for part in parts)
    histories, notes = Histories(), []
    tables: list[pd.DataFrame] = []
    for part in parts:
        table = EventTable(part.path, part.names, is_plain and unit == "s", is_plain)
        for lines, values in part.batches:
            kept = table.add({word: values[name] for word, name in part.names.items()}, lines)
            if has_histories:
                number = len(kept["user"])
                past = _lists(values, part.history, number, separator)
                moments = _lists(values, part.moments, number, separator)
                histories.add(kept["user"], past, kept["item"], moments)
        # A part without a row is a small data set's; a data set without one is refused.
        if len(table) or len(parts) == 1 or (part is parts[-1] and not tables):
            tables.append(table.build())
            if len(parts) > 1:
                _check_now(tables[-1], part, unit)
    if len(parts) > 1:
        files = ", ".join(part.path.name for part in parts)
        notes.append(f"{files} are read together; data.split divides them anew")
    events = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    if has_histories:
        events, number = histories.restore(events)
        notes.append(f"{number} interactions come from histories alone")
    return events, notes


def _lists(
    values: dict[str, Any], column: str | None, number: int, separator: str | None
) -> list[list[str]]:
    if column is None:
        return [[]] * number
    return [listed_history(value, separator) for value in values[column]]


def _check_now(events: pd.DataFrame, part: Part, unit: str) -> None:
    """Check the values of one of several files, while its lines are known.

    Raises:
        DataError: an id is empty, or a value is no number or time.
    """
    for column in events.columns:
        if column in ("user", "item"):
            ids(events[column], str(part.path), part.names[column])
        elif column == "rating":
            numbers(events[column], str(part.path), part.names[column])
        elif unit != "s":
            times(events[column], str(part.path), part.names[column], unit)
        elif events[column].dtype == object:
            times(events[column], str(part.path), part.names[column], "any")
