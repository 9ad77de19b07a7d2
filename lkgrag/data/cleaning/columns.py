"""Columns of tables as ids, numbers and times; what does not fit is named with its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.texts import EXACT, NotExact, clean_id, id_text, is_missing
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Name of a table's index that holds the numbers of the file's lines.
LINE = "line"
#: Name of an index that counts rows from 0 on, where a table is a part of a longer one.
ROW = "row"
#: Seconds of a unit of time, by the words of ``data.time_unit``.
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
#: First second of 2100: a later time is in another unit than it is said to be.
LATEST = 4_102_444_800.0
#: First second of 1971: if all of a file is earlier, its unit is a smaller one than it is said to be.
EARLIEST = 31_536_000.0
#: First second of 1990: a guess of the right unit must give a later time.
PLAUSIBLE = 631_152_000.0
#: Characters of a bad value that a message shows.
SHOWN = 40
#: Largest number of 32 bits.
LARGEST = float(np.finfo(np.float32).max)


def where(table: pd.DataFrame | pd.Series, row: int) -> str:
    """The place of a row in words: the line of its file, or its number in memory."""
    if table.index.name == LINE:
        return f"line {table.index[row]}"
    if table.index.name == ROW:
        return f"row {table.index[row] + 1}"
    return f"row {row + 1}"


def show(value: object) -> str:
    """A value for a message."""
    return repr(str(value)[:SHOWN])


def ids(column: pd.Series, source: str, name: str) -> pd.Series:
    """A column of ids as strings without spaces at the ends.

    Whole numbers are the same whatever their type: ``1``, ``1.0`` and ``Decimal(1)``. Bytes are read as UTF-8.

    Raises:
        DataError: an id is missing or empty, or of a type that does not give its exact text.
    """
    is_float = pd.api.types.is_float_dtype(column.dtype)
    bits = int(getattr(column.dtype, "itemsize", 8)) * 8 if is_float else 64
    whole = _whole_numbers(column, EXACT.get(bits, EXACT[64]))
    if whole is not None:
        return pd.Series(list(map(str, whole)), index=column.index, dtype=object)
    empty = column.isna().to_numpy(bool)
    texts = np.empty(len(column), dtype=object)
    # Not by pandas: its strings cannot hold all that Python's can.
    for row, value in enumerate(column.tolist()):
        if isinstance(value, str):
            texts[row] = clean_id(value).strip()
            continue
        try:
            texts[row] = "" if empty[row] or is_missing(value) else id_text(value, bits)
        except NotExact as error:
            raise DataError(
                f"{source}: {where(column, row)}, field '{name}': the id {show(value)} is {error}"
            ) from None
    bad = texts == ""
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{source}: {where(column, row)}, field '{name}': the id is empty; fill it or drop the row"
        )
    return pd.Series(texts, index=column.index, dtype=object)


def _whole_numbers(column: pd.Series, most: int) -> list[int] | None:
    """The values of a column of numbers if all are whole, there and exact; None otherwise.

    Args:
        column: of any type.
        most: largest float that stands for one number only.
    """
    if column.hasnans:
        return None
    if pd.api.types.is_integer_dtype(column.dtype):
        return list(column.tolist())
    if not pd.api.types.is_float_dtype(column.dtype):
        return None
    values = column.to_numpy(np.float64)
    is_exact = bool(((np.abs(values) <= most) & (values == np.trunc(values))).all())
    return list(values.astype(np.int64).tolist()) if is_exact else None


def numbers(column: pd.Series, source: str, name: str) -> pd.Series:
    """A column as floats that 32 bits hold, NaN where it is empty.

    Raises:
        DataError: a value is not a finite number, or beyond 32 bits; the message names the line and the value.
    """
    values, bad = _floats(column)
    bad = bad | (np.abs(np.nan_to_num(values)) > LARGEST)
    if bad.any():
        row = int(bad.argmax())
        what = "too large" if np.isfinite(values[row]) else "not a finite number"
        raise DataError(
            f"{source}: {where(column, row)}, field '{name}': {show(column.iloc[row])} is {what}; "
            "correct it or leave it empty"
        )
    return pd.Series(values, index=column.index)


def _floats(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Values, and which of them are neither empty nor finite numbers."""
    if pd.api.types.is_bool_dtype(column):
        # A truth value is no number, as in texts.
        return np.full(len(column), np.nan), column.notna().to_numpy(bool)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        values = column.to_numpy(np.float64, na_value=np.nan)
        return values, np.isinf(values)
    text = column.astype("string").str.strip()
    empty = (text.isna() | (text == "") | (text.str.lower() == "nan")).to_numpy(bool)
    try:
        values = pd.to_numeric(text.astype(object), errors="coerce").to_numpy(np.float64)
    except (OverflowError, TypeError, ValueError):
        # A whole number beyond the range of floats.
        values = np.array([_one_float(t) for t in text.fillna("")])
    values = np.where(empty, np.nan, values)
    return values, ~empty & ~np.isfinite(values)


def _one_float(text: str) -> float:
    try:
        return float(text)
    except (ValueError, OverflowError):
        return float("nan")


def times(column: pd.Series, source: str, name: str, unit: str) -> pd.Series:
    """A column of times as seconds since 1970 (of the unit ``any``: as it is), NaN where it is empty.

    Args:
        column: numbers, text, or dates of pandas or Python.
        source: for messages.
        name: of the field, for messages.
        unit: a word of ``data.time_unit``.

    Raises:
        DataError: a value is no time of that unit, or gives a year that no data are from.
    """
    if unit == "date" or _are_dates(column):
        seconds = _dates(column, source, name)
    else:
        values, bad = _floats(column)
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"{source}: {where(column, row)}, field '{name}': {show(column.iloc[row])} is no number "
                f"of {WORDS.get(unit, 'any unit')}; correct it, or set data.time_unit=date for dates "
                "as 2015-03-31"
            )
        seconds = values * UNITS.get(unit, 1.0)
    if unit != "any":
        _check_years(seconds, column, source, name, unit)
    return pd.Series(seconds, index=column.index)


def _are_dates(column: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    known = ("datetime", "datetime64", "date")
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in known


def _dates(column: pd.Series, source: str, name: str) -> NDArray[np.float64]:
    if _are_dates(column):
        text, form = column, None
    else:
        text = column.astype("string").str.strip()
        text, form = text.mask(text == ""), "ISO8601"
    try:
        found = pd.to_datetime(text, utc=True, errors="coerce", format=form)
    except (ValueError, TypeError, OverflowError):
        found = pd.Series(pd.NaT, index=column.index)
    bad = (found.isna() & text.notna()).to_numpy(bool)
    if bad.any():
        row = int(bad.argmax())
        far = _far_date(column.iloc[row])
        if far is not None:
            # The check of the years refuses it by its year.
            return np.where(np.arange(len(column)) == row, far, np.nan)
        raise DataError(
            f"{source}: {where(column, row)}, field '{name}': {show(column.iloc[row])} is no date as "
            "2015-03-31 or 2015-03-31T12:00:00; correct it, or set data.time_unit to s, ms, us or ns "
            "for numbers"
        )
    # By numpy, in the dates' own unit: pandas' nanoseconds reach from 1677 to 2262 only.
    moments = found.dt.tz_localize(None).to_numpy()
    return (moments - np.datetime64(0, "s")) / np.timedelta64(1, "s")


def _far_date(value: object) -> float | None:
    """Seconds of a date that pandas 2 cannot hold, since it counts in nanoseconds; None if it is no date."""
    found = re.match(r"\s*(\d{4}-\d\d-\d\d)", str(value))
    try:
        return float(np.datetime64(found[1], "s").astype(np.int64)) if found else None
    except ValueError:
        return None


def _check_years(
    seconds: NDArray[np.float64], column: pd.Series, source: str, name: str, unit: str
) -> None:
    """Refuse times outside 1970 to 2099: their unit is another one."""
    bad = (seconds < 0) | (seconds >= LATEST)
    if bad.any():
        row = int(bad.argmax())
        value = seconds[row] / UNITS.get(unit, 1.0)
        advice = "correct it or leave it empty" if unit == "date" else _unit_for([value])
        raise DataError(
            f"{source}: {where(column, row)}, field '{name}': {show(column.iloc[row])} as "
            f"{WORDS.get(unit, 'a date')} is not between 1970 and 2099; {advice}"
        )
    known = seconds[~np.isnan(seconds)]
    if unit in ("ms", "us", "ns") and len(known) and known.max() < EARLIEST:
        raise DataError(
            f"{source}: field '{name}': as {WORDS[unit]} all times lie in 1970; "
            f"{_unit_for(known / UNITS[unit])}"
        )


def _unit_for(values: Iterable[float]) -> str:
    """What to set for such numbers."""
    largest = max(values)
    for unit, size in UNITS.items():
        if PLAUSIBLE <= largest * size < LATEST:
            return f"these look like {WORDS[unit]}: set data.time_unit={unit}"
    return "correct it, or set data.time_unit=any to take times as they are"
