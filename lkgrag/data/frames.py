"""Tables in memory, of whatever library, as pandas' with the columns that readers give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from lkgrag.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from lkgrag.data.tables import Tables

#: What each table's columns mean, by the words of ``data.columns``.
MEANINGS: dict[str, tuple[str, ...]] = {
    "interactions": ("user", "item", "rating", "time"),
    "items": ("item", "title"),
    "users": ("user",),
    "triples": ("head", "relation", "tail"),
    "links": ("item", "entity"),
}

#: Above, numbers of 64 bits are too coarse to be whole ones.
WHOLE = 2.0**53


def check_columns(columns: dict[str, str]) -> None:
    """Refuse words of ``data.columns`` that mean nothing.

    Raises:
        ConfigError: naming the word and the nearest one.
    """
    known = list(dict.fromkeys(word for words in MEANINGS.values() for word in words))
    for word in columns:
        if word not in known:
            raise ConfigError(
                f"data.columns: no meaning '{word}'.{nearest(word, known)} "
                f"There are: {', '.join(known)}; as data.columns={{user: uid, item: iid}}"
            )


def to_frame(table: Any, name: str) -> pd.DataFrame:
    """A table of pandas, polars, pyarrow, a dictionary of columns or a list of rows, as pandas'.

    Args:
        table: anything with columns.
        name: of the argument, for messages.

    Raises:
        DataError: it has no columns, or columns of different lengths.
    """
    try:
        if isinstance(table, pd.DataFrame):
            return table
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
    """Refuse columns that share a name, or have one of several levels.

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


def named(table: pd.DataFrame, name: str, columns: dict[str, str]) -> pd.DataFrame:
    """A table with the columns' usual names in place of those in ``data.columns``.

    Raises:
        DataError: a column that ``data.columns`` names is not there.
    """
    renamed = {}
    for meaning in MEANINGS[name]:
        given = columns.get(meaning)
        if given is None or given == meaning:
            continue
        if given not in table.columns:
            # Ids are in several tables; one that has the usual name may keep it.
            if meaning in table.columns and meaning in ("user", "item"):
                continue
            known = [str(c) for c in table.columns]
            raise DataError(
                f"{name}: no column '{given}', which data.columns.{meaning} names."
                f"{nearest(given, known)} Columns there: {', '.join(known) or 'none'}"
            )
        renamed[given] = meaning
    # What else has the usual name is something else.
    return table.drop(columns=[m for m in renamed.values() if m in table.columns]).rename(
        columns=renamed
    )


def without_numbers(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table without columns of numbers that would make a node of every price or weight.

    Whole numbers stay, as years that pandas holds as fractions because some are missing.
    """
    out = table.copy(deep=False)
    for column in table.columns:
        if column in MEANINGS[name] or not pd.api.types.is_float_dtype(table[column]):
            continue
        known = table[column].dropna()
        if bool(((known % 1 == 0) & (known.abs() < WHOLE)).all()):
            out[column] = table[column].astype("Int64")
        else:
            del out[column]
    return out


def tables_of(
    interactions: Any, items: Any, triples: Any, users: Any, columns: dict[str, str]
) -> Tables:
    """What :meth:`~lkgrag.data.Interactions.from_frames` was given, as a reader's result.

    Raises:
        ConfigError: a word of ``columns`` means nothing.
        DataError: a table cannot be read, or a column that ``columns`` names is missing or there twice.
    """
    from lkgrag.data.tables import Tables

    check_columns(columns)

    def frame(table: Any, name: str) -> pd.DataFrame | None:
        if table is None:
            return None
        found = to_frame(table, name)
        check_distinct(found, name)
        found = named(found, name, columns)
        return without_numbers(found, name) if name in ("items", "users") else found

    events = frame(interactions, "interactions")
    if events is None:
        raise DataError("interactions: there is no table; give one with columns user and item")
    return Tables(
        events,
        items=frame(items, "items"),
        users=frame(users, "users"),
        triples=frame(triples, "triples"),
        names={k: v for k, v in columns.items() if k in MEANINGS["interactions"]},
    )
