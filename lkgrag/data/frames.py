"""Tables in memory, of any library, as pandas tables with the usual names of columns."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lkgrag.data.in_memory import arrow_frame
from lkgrag.data.tables import Tables
from lkgrag.errors import ConfigError, DataError, nearest

#: The usual names of each table's columns; ``data.columns`` maps from them to other names.
MEANINGS: dict[str, tuple[str, ...]] = {
    "interactions": ("user", "item", "rating", "time"),
    "items": ("item", "title"),
    "users": ("user",),
    "triples": ("head", "relation", "tail"),
    "links": ("item", "entity"),
}

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


def check_distinct(table: pd.DataFrame, name: str) -> None:
    """Refuse columns that share a name, or whose names have several levels.

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
            # Several tables have ids; in some of them the column may already have its usual name.
            if meaning in table.columns and meaning in ("user", "item"):
                continue
            present = [str(c) for c in table.columns]
            raise DataError(
                f"{name}: no column '{column}', which data.columns.{meaning} names."
                f"{nearest(column, present)} Columns there: {', '.join(present) or 'none'}"
            )
        renamed[column] = meaning
    # Another column that already has such a usual name means something else.
    return table.drop(columns=[m for m in renamed.values() if m in table.columns]).rename(
        columns=renamed
    )


def drop_fractions(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Drop attributes that are fractions, as prices, because each value would become a node.

    Whole numbers stay. pandas holds them as fractions if some values are missing, as in a column of years.
    """
    out = table.copy(deep=False)
    for column in table.columns:
        if column in MEANINGS[name] or not pd.api.types.is_float_dtype(table[column]):
            continue
        values = table[column].dropna()
        if bool(((values % 1 == 0) & (values.abs() < WHOLE)).all()):
            out[column] = table[column].astype("Int64")
        else:
            del out[column]
    return out


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
        check_distinct(frame, name)
        frame = rename_columns(frame, name, columns)
        return drop_fractions(frame, name) if name in ("items", "users") else frame

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
