"""Tables in memory, of any library, as pandas tables with the usual names of columns."""

from __future__ import annotations

import logging
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.texts import is_missing
from lkgrag.data.in_memory import arrow_frame
from lkgrag.data.tables import Tables
from lkgrag.data.usual_names import take_usual
from lkgrag.errors import ConfigError, DataError, nearest

log = logging.getLogger(__name__)

#: The usual names of each table's columns; ``data.columns`` maps from them to other names.
MEANINGS: dict[str, tuple[str, ...]] = {
    "interactions": ("user", "item", "rating", "time"),
    "items": ("item", "title"),
    "users": ("user",),
    "triples": ("head", "relation", "tail"),
    "links": ("item", "entity"),
}

#: Tables of attributes.
ATTRIBUTES = ("items", "users")

#: From here on, not every whole number is a float of 64 bits.
WHOLE = 2.0**53


def check_columns(columns: dict[str, str]) -> None:
    """Refuse keys of ``data.columns`` that are no usual names of columns.

    Raises:
        ConfigError: naming the key and the nearest usual name.
    """
    usual = list(dict.fromkeys(word for words in MEANINGS.values() for word in words))
    for word in columns:
        if word not in usual:
            raise ConfigError(
                f"data.columns: no meaning '{word}'.{nearest(word, usual)} "
                f"There are: {', '.join(usual)}; as data.columns={{user: uid, item: iid}}"
            )


def to_frame(table: Any, name: str) -> pd.DataFrame:
    """Turn a table into one of pandas: of polars, DuckDB or pyarrow, a dictionary of columns, or a list of rows.

    Args:
        table: anything with columns.
        name: of the argument, for messages.

    Raises:
        DataError: it has no columns, or columns of different lengths.
    """
    try:
        if isinstance(table, pd.DataFrame):
            return table
        if (frame := arrow_frame(table)) is not None:
            return frame
        if hasattr(table, "to_pandas"):
            return pd.DataFrame(table.to_pandas())
        if hasattr(table, "columns") and hasattr(table, "__getitem__"):
            return pd.DataFrame({str(c): list(table[c]) for c in table.columns})
        if isinstance(table, dict | list):
            return pd.DataFrame(table)
        if hasattr(table, "__dataframe__"):
            return pd.api.interchange.from_dataframe(table)
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{name}: cannot be read as a table ({first})") from error
    raise DataError(
        f"{name}: a {type(table).__name__} is no table; give a pandas, polars or pyarrow table, or a "
        "dictionary of columns"
    )


def check_distinct(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Refuse columns that share a name, or whose names have several levels.

    Returns:
        The table with texts as names; ``0`` is ``"0"``, as options name it.

    Raises:
        DataError: naming the table and the first such column.
    """
    if table.columns.nlevels > 1:
        raise DataError(
            f"{name}: the columns have {table.columns.nlevels} levels, as {table.columns[0]}; give each "
            "one name"
        )
    names = table.columns.astype(str)
    if names.has_duplicates:
        twice = names[names.duplicated()][0]
        raise DataError(f"{name}: the column '{twice}' is there twice; rename or drop one")
    return table.set_axis(names, axis=1)


def rename_columns(table: pd.DataFrame, name: str, columns: dict[str, str]) -> pd.DataFrame:
    """Give the columns that ``data.columns`` names their usual names.

    Raises:
        DataError: a column that ``data.columns`` names is not there.
    """
    renamed = {}
    for meaning in MEANINGS[name]:
        column = columns.get(meaning)
        if column is None or column == meaning:
            continue
        if column not in table.columns:
            # Side tables have ids, too; in some of them the column may already have its usual name.
            is_shared = meaning in ("user", "item") and name != "interactions"
            if is_shared and meaning in table.columns:
                continue
            present = [str(c) for c in table.columns]
            raise DataError(
                f"{name}: no column '{column}', which data.columns.{meaning} names."
                f"{nearest(column, present)} Columns there: {', '.join(present) or 'none'}"
            )
        renamed[column] = meaning
    # Another column that already has such a usual name means something else.
    lost = [m for m in renamed.values() if m in table.columns]
    if lost:
        log.warning(
            "%s: not used: %s, because data.columns names another column for it",
            name,
            ", ".join(lost),
        )
    return table.drop(columns=lost).rename(columns=renamed)


def drop_nested(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Drop attributes that are mappings, lists of lists, or complex numbers, which are no values of a node; say which."""
    nested = [
        str(column)
        for column in table.columns
        if pd.api.types.is_complex_dtype(table[column].dtype)
        or (table[column].dtype == object and any(map(_is_nested, table[column].tolist())))
    ]
    if nested:
        log.warning(
            "%s: left out, because values are texts, numbers or lists of them: %s; give each part a column",
            *(name, ", ".join(nested)),
        )
    return table.drop(columns=nested)


def _is_nested(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return any(isinstance(v, dict | list | tuple | set | np.ndarray) for v in value)
    return isinstance(value, dict | complex)


def drop_fractions(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Drop attributes that are fractions, as prices, because each value would become a node; say which.

    Whole numbers stay. pandas holds them as fractions if some values are missing, as in a column of years. Numbers of
    any type count: floats, objects, ``decimal``.
    """
    out = table.copy(deep=False)
    left_out = []
    for column in table.columns:
        if column in MEANINGS[name] or not _holds_fractions(table[column]):
            continue
        values = pd.to_numeric(table[column].map(_as_float), errors="coerce")
        known = values.dropna()
        if bool(((known % 1 == 0) & (known.abs() < WHOLE)).all()):
            out[column] = values.astype("Int64")
        else:
            left_out.append(str(column))
            del out[column]
    if left_out:
        log.warning(
            "%s: left out, because each number would become a node: %s; give classes as text, as 'cheap'",
            *(name, ", ".join(left_out)),
        )
    return out


def _holds_fractions(column: pd.Series) -> bool:
    """Whether the values are numbers of a type that has fractions."""
    if pd.api.types.is_float_dtype(column):
        return True
    if column.dtype != object and not isinstance(column.dtype, pd.ArrowDtype):
        return False
    values = [v for v in column.tolist() if not is_missing(v)]
    fractional = (float, np.floating, Decimal, Fraction)
    is_number = all(
        isinstance(v, int | np.integer | float | np.floating | Decimal | Fraction)
        and not isinstance(v, bool)
        for v in values
    )
    return bool(values) and is_number and any(isinstance(v, fractional) for v in values)


def _as_float(value: Any) -> float:
    return np.nan if is_missing(value) else float(value)


def build_tables(
    interactions: Any, items: Any, triples: Any, users: Any, columns: dict[str, str]
) -> Tables:
    """Turn the arguments of :meth:`~lkgrag.data.Interactions.from_frames` into what a reader returns.

    Raises:
        ConfigError: a key of ``columns`` is no usual name.
        DataError: a table cannot be read, or a column that ``columns`` names is missing or there twice.
    """
    check_columns(columns)

    def read(table: Any, name: str) -> pd.DataFrame | None:
        if table is None:
            return None
        frame = to_frame(table, name)
        frame = check_distinct(frame, name)
        frame = take_usual(rename_columns(frame, name, columns), name, columns)
        return drop_fractions(drop_nested(frame, name), name) if name in ATTRIBUTES else frame

    events = read(interactions, "interactions")
    if events is None:
        raise DataError("interactions: there is no table; give one with columns user and item")
    return Tables(
        events,
        items=read(items, "items"),
        users=read(users, "users"),
        triples=read(triples, "triples"),
        names={k: v for k, v in columns.items() if k in MEANINGS["interactions"]},
    )
