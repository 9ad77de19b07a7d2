"""Sequences out of rows that hold a history and the next item, as benchmark files have them.

RecBole's benchmark files have ``item_id_list`` beside ``item_id``, Amazon's 5-core of 2023 has ``history``
beside ``parent_asin``. Histories may be cut to the latest items. The rows of a user overlap; put together
they give the whole sequence, each interaction once.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.columns import LINE

#: Names of columns with a history, without case, spaces and marks.
HISTORY = ("history", "itemidlist", "itemlist", "historyitemids", "historyitems", "itemhistory")


def listed_history(value: Any, separator: str | None = None) -> list[str]:
    """The ids of a history: a list, or text with spaces (or ``separator``) between them.

    Args:
        value: of one row.
        separator: None for any spaces.
    """
    if isinstance(value, str):
        text = value.strip()
        if text[:1] == "[" and text[-1:] == "]":
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                value = text.strip("[]").replace(",", " ").split()
        else:
            value = text.split(separator)
    if isinstance(value, list | tuple | np.ndarray):
        return [text for v in value if v is not None and (text := str(v).strip())]
    return []


class Histories:
    """Puts the rows of each user together."""

    def __init__(self) -> None:
        self._items: dict[str, list[str]] = {}
        #: For each item of a user its row, where it was a row's next item, or ``-1 - row`` of the first history
        #: that names it.
        self._rows: dict[str, list[int]] = {}
        self._times: dict[str, list[str]] = {}
        self._number = 0

    def add(
        self,
        users: Iterable[str | None],
        histories: Sequence[list[str]],
        items: Iterable[str | None],
        times: Sequence[list[str]] | None = None,
    ) -> None:
        """Add rows, in the order of the table.

        Args:
            users: of the rows.
            histories: items before each row's own, oldest first.
            items: of the rows.
            times: of the items of the histories; a list of another length is passed over.
        """
        for place, (user, history, item) in enumerate(zip(users, histories, items, strict=True)):
            if user is not None and item is not None:
                known = [] if times is None else times[place]
                known = known if len(known) == len(history) else [""] * len(history)
                self._add(user, [*history, item], [*known, ""], self._number)
            self._number += 1

    def _add(self, user: str, new: list[str], times: list[str], row: int) -> None:
        sequence = self._items.setdefault(user, [])
        rows, known_times = self._rows.setdefault(user, []), self._times.setdefault(user, [])
        place = _overlap(sequence, new)
        if place >= 0:
            # What is new follows, or all is there.
            before, after, end = 0, len(sequence) - place, place + len(new) - 1
        elif (before := _overlap(new, sequence)) >= 0:
            # The new row begins earlier, and may also reach further.
            after, end = before + len(sequence), len(new) - 1
        else:
            # Nothing is common: the rows are taken to be in the order of time.
            before, after, end = 0, 0, len(sequence) + len(new) - 1
        numbers = [-1 - row] * len(new)
        sequence[:0], known_times[:0], rows[:0] = new[:before], times[:before], numbers[:before]
        sequence += new[after:]
        known_times += times[after:]
        rows += numbers[after:]
        if rows[end] < 0:
            rows[end] = row

    def restore(self, events: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """The whole sequences.

        Args:
            events: the rows that were added, with columns ``user item`` and optional ``rating time``.

        Returns:
            All interactions, those of a user together in their order; and how many only the histories hold.
        """
        users, items, times, lines, order = [], [], [], [], []
        extra = len(events)
        for user, rows in self._rows.items():
            for item, row, time in zip(self._items[user], rows, self._times[user], strict=True):
                if row < 0:
                    users.append(user)
                    items.append(item)
                    times.append(time)
                    lines.append(events.index[-1 - row])
                    order.append(extra)
                    extra += 1
                else:
                    order.append(row)
        # Rows without an id stay, for the message about them.
        missing = np.flatnonzero((events["user"].isna() | events["item"].isna()).to_numpy())
        order.extend(missing.tolist())
        more = pd.DataFrame({"user": users, "item": items}, index=lines, dtype=object)
        if "time" in events.columns:
            seconds = pd.to_numeric(pd.Series(times, index=lines, dtype=object), errors="coerce")
            more["time"] = seconds if pd.api.types.is_numeric_dtype(events["time"]) else None
        whole = pd.concat([events, more]) if len(more) else events
        whole = whole.iloc[order]
        whole.index.name = events.index.name
        if whole.index.name != LINE:
            whole = whole.reset_index(drop=True)
        return _forget_partial_times(whole), len(more)


def _forget_partial_times(events: pd.DataFrame) -> pd.DataFrame:
    """Drop the times of users of whom a later one is unknown: they could not be ordered by them."""
    if "time" not in events.columns:
        return events
    unknown = events["time"].isna()
    known_before = (~unknown).groupby(events["user"], sort=False).cumsum() > 0
    users = set(events["user"][unknown & known_before])
    if not users:
        return events
    return events.assign(time=events["time"].mask(events["user"].isin(users)))


def _overlap(first: list[str], second: list[str]) -> int:
    """Where in ``first`` the ``second`` continues it: the first place from which on both are equal.

    Returns:
        The place, so that ``first[place:]`` and ``second`` agree as far as both reach; -1 where they never do.
        An empty ``first`` is continued at 0.
    """
    if not first:
        return 0
    if not second:
        return -1
    place = -1
    while True:
        try:
            place = first.index(second[0], place + 1)
        except ValueError:
            return -1
        number = min(len(first) - place, len(second))
        if first[place : place + number] == second[:number]:
            return place
