"""Interactions put together batch by batch: equal ids share one text, numbers become floats.

A table of Python strings needs about 300 bytes a row. Put together here, it needs 32, whatever the format.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.columns import LINE, ids, numbers, show, where
from lkgrag.data.readers.text import check_header, check_width, open_table
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows of a batch.
BATCH = 65_536
#: Columns of interactions whose values are ids.
IDS = ("user", "item")
#: Names of all columns, in their order.
EVENT = ("user", "item", "rating", "time")


class EventTable:
    """Collects interactions; :meth:`build` gives them as one table.

    Args:
        path: of the file, for messages.
        names: what the columns are called in the file, for messages.
        has_dates: whether text like ``2015-03-31`` becomes a date as it is read.
        has_commas: whether ratings may have a decimal comma, as ``4,5``.
    """

    def __init__(
        self,
        path: Path,
        names: dict[str, str] | None = None,
        has_dates: bool = False,
        has_commas: bool = False,
    ) -> None:
        self.path = path
        self.names = names or {}
        self.has_dates = has_dates
        self.has_commas = has_commas
        self._shared: dict[str, dict[str, str]] = {name: {} for name in IDS}
        self._blocks: dict[str, list[Any]] = {}
        self._lines: list[NDArray[np.int64]] = []
        self._rows = 0

    def __len__(self) -> int:
        """Number of rows so far."""
        return self._rows

    def add(
        self, columns: dict[str, Any], lines: Sequence[int] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Add rows.

        Args:
            columns: by usual name (``user item rating time``), a list or a pandas series each; the same
                columns in every call.
            lines: of the file, one for each row; by default rows are counted.

        Returns:
            The columns as they are kept.
        """
        index = None if lines is None else pd.Index(lines, name=LINE)
        for name, values in columns.items():
            series = values if isinstance(values, pd.Series) else pd.Series(values, dtype=object)
            series = series.set_axis(index if index is not None else range(len(series)))
            self._blocks.setdefault(name, []).append(self._compact(name, series))
        number = len(next(iter(columns.values())))
        if lines is not None:
            self._lines.append(np.asarray(lines, np.int64))
        self._rows += number
        return {name: blocks[-1] for name, blocks in self._blocks.items()}

    def _compact(self, name: str, series: pd.Series) -> Any:
        if name in IDS:
            return self._texts(name, series)
        if pd.api.types.is_datetime64_any_dtype(series):
            return series.dt.tz_convert(None) if series.dt.tz is not None else series
        return self._numbers(name, series)

    def _texts(self, name: str, series: pd.Series) -> NDArray[np.object_]:
        """Ids as texts; those that are equal are one object. What is missing stays so."""
        try:
            codes, unique = pd.factorize(series, use_na_sentinel=True)
        except TypeError:
            self._refuse_unhashable(name, series)
            raise
        known = pd.Series(unique, dtype=object if series.dtype == object else series.dtype)
        empty = known.map(lambda v: isinstance(v, str) and not v.strip()).to_numpy(bool)
        texts = np.full(len(known) + 1, None, dtype=object)
        if not empty.all():
            texts[:-1][~empty] = ids(known[~empty], str(self.path), self.names.get(name, name))
        shared = self._shared[name]
        for place, text in enumerate(texts[:-1]):
            if text is not None:
                texts[place] = shared.setdefault(text, text)
        # The code of what is missing is -1, the last place.
        return texts[codes]

    def _refuse_unhashable(self, name: str, series: pd.Series) -> None:
        """Refuse a list or an object where an id should be.

        Raises:
            DataError: naming the line.
        """
        for place, value in enumerate(series.tolist()):
            if isinstance(value, list | dict | np.ndarray):
                row = place if series.index.name == LINE else place + self._rows
                label = where(series, place) if series.index.name == LINE else f"row {row + 1}"
                raise DataError(
                    f"{self.path}: {label}, field '{self.names.get(name, name)}': the id {show(value)} is a list "
                    "or an object; give a text or a number"
                )

    def _numbers(self, name: str, series: pd.Series) -> Any:
        """Floats where all of a batch are numbers or empty; dates; or else the text as it is."""
        if pd.api.types.is_float_dtype(series):
            return series.to_numpy(np.float64, na_value=np.nan)
        if series.dtype == object:
            values = series.tolist()
            try:
                found = np.fromiter(map(float, values), np.float64, len(values))
            except (TypeError, ValueError, OverflowError):
                found = np.full(1, np.nan)
            if np.isfinite(found).all() and not any(
                isinstance(v, str) and "_" in v for v in values
            ):
                return found
        if name == "rating" and self.has_commas:
            series = series.map(lambda v: v.replace(",", ".") if _has_comma(v) else v)
        try:
            return numbers(series, str(self.path), name).to_numpy(np.float64)
        except DataError:
            dates = _dates(series) if name == "time" and self.has_dates else None
            # What is wrong is found again, and told with its line, when the whole column is read.
            return series.to_numpy(object) if dates is None else dates

    def build(self) -> pd.DataFrame:
        """All rows in their order.

        Raises:
            DataError: there is none.
        """
        if not self._rows:
            raise DataError(
                f"{self.path}: the file is empty, or holds no row; fill it or remove it"
            )
        index = self._index()
        columns = {}
        for name in list(self._blocks):
            # Each column's batches are let go before the next one is joined.
            values = _join(self._blocks.pop(name))
            # By name, as pandas would copy every text into a column of its own kind of strings.
            kind = object if values.dtype == object else None
            columns[name] = pd.Series(values, index=index, dtype=kind, copy=False)
        return pd.DataFrame(columns, copy=False)

    def _index(self) -> pd.Index:
        if not self._lines:
            return pd.RangeIndex(self._rows)
        lines = np.concatenate(self._lines)
        self._lines.clear()
        if lines[-1] - lines[0] == len(lines) - 1 and bool((np.diff(lines) == 1).all()):
            return pd.RangeIndex(lines[0], lines[-1] + 1, name=LINE)
        return pd.Index(lines, name=LINE)


def _join(blocks: list[Any]) -> Any:
    kinds = {pd.Series(block[:1]).dtype.kind for block in blocks}
    if len(kinds) > 1:
        return np.concatenate([np.asarray(block, dtype=object) for block in blocks])
    if "M" in kinds:
        return pd.concat([pd.Series(block) for block in blocks], ignore_index=True).to_numpy()
    return np.concatenate([np.asarray(block) for block in blocks])


def _has_comma(value: object) -> bool:
    """Whether a value is a number with a decimal comma."""
    return isinstance(value, str) and bool(re.fullmatch(r"\s*\d+,\d+\s*", value))


def _dates(series: pd.Series) -> pd.Series | None:
    """Text as dates; None if a value is neither a date as ``2015-03-31`` nor empty."""
    text = series.astype("string").str.strip()
    text = text.mask(text == "")
    try:
        found = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    except (ValueError, TypeError, OverflowError):
        return None
    bad = found.isna() & text.notna()
    return None if bad.any() or found.isna().all() else found.dt.tz_localize(None)


def events_of_rows(
    records: Iterator[tuple[int, list[Any]]],
    header: list[str],
    take: dict[str, str],
    path: Path,
    has_dates: bool = False,
) -> pd.DataFrame:
    """Read interactions from the rows of a text file.

    Args:
        records: number of the first line and the fields of each row.
        header: names of the fields.
        take: usual name -> name in ``header``.
        path: of the file.
        has_dates: as for :class:`EventTable`.

    Raises:
        DataError: no row, or one with another number of fields than the header.
    """
    places = {meaning: header.index(column) for meaning, column in take.items()}
    table = EventTable(path, take, has_dates)
    for batch in batched(records):
        lines = [number for number, _ in batch]
        for number, row in batch:
            check_width(row, header, path, number)
        table.add(
            {meaning: [row[place] for _, row in batch] for meaning, place in places.items()}, lines
        )
    return table.build()


def batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """Cut rows into lists of :data:`BATCH`."""
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch


def read_events(
    path: Path,
    take: dict[str, str],
    separator: str | None = ",",
    columns: tuple[str, ...] | None = None,
    encoding: str = "utf-8-sig",
) -> pd.DataFrame:
    """Read the interactions of a text file; arguments and errors as of ``read_separated`` and this module.

    Args:
        path: the file, packed or not.
        take: usual name -> name of the column; all of them must be there.
        separator: between fields; None: line 1 tells which.
        columns: names of the columns where the file has no header.
        encoding: of the text.
    """
    header, records = open_table(path, separator, columns, encoding)
    check_header(header, tuple(take.values()), path)
    return events_of_rows(records, header, take, path)
