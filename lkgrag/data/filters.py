"""Filters between a reader and the sequences: types, duplicates, rating floor, k-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.errors import DataError, nearest

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Tables


def clean_events(tables: Tables, config: DataConfig) -> pd.DataFrame:
    """Check and type the interactions, drop duplicates and low ratings, keep the file's order.

    Returns:
        Columns ``user item`` (str), ``rating time`` (float).

    Raises:
        DataError: a column is missing, a value is no number, or duplicates are refused.
    """
    events = tables.interactions
    for column in ("user", "item"):
        if column not in events.columns:
            hint = nearest(column, [str(c) for c in events.columns])
            raise DataError(
                f"{tables.source}: the interactions have no column '{column}'.{hint} "
                f"Columns there: {', '.join(map(str, events.columns)) or 'none'}"
            )
    out = pd.DataFrame(
        {
            "user": events["user"].astype(str),
            "item": events["item"].astype(str),
            "rating": number(events, "rating", tables.source),
            "time": number(events, "time", tables.source),
        }
    ).reset_index(drop=True)
    if config.min_rating is not None:
        # An unknown rating is not a low one.
        out = out[~(out["rating"] < config.min_rating)]
    if config.untitled == "drop":
        out = out[out["item"].isin(_titled(tables))]
    if config.duplicates != "keep":
        out = _one_each(out, config.duplicates, tables.source)
    return out.reset_index(drop=True)


def _titled(tables: Tables) -> set[str]:
    """Ids of the items that have a title."""
    if tables.items is None or "title" not in tables.items.columns:
        return set()
    titles = tables.items["title"]
    known = titles.notna() & (titles.astype("string").str.strip() != "")
    return set(tables.items["item"].astype(str)[known])


def number(table: pd.DataFrame, column: str, source: str) -> pd.Series:
    """A column as floats, NaN where it is empty or the column is absent.

    Raises:
        DataError: a value is not a finite number; the message names the row and the value.
    """
    if column not in table.columns:
        return pd.Series(np.nan, index=table.index, dtype=float)
    raw = table[column]
    if pd.api.types.is_numeric_dtype(raw):
        values = raw.astype(float)
    else:
        text = raw.astype("string").str.strip()
        values = pd.to_numeric(text, errors="coerce").astype(float)
        bad = values.isna() & text.notna() & (text != "") & (text.str.lower() != "nan")
        if bad.any():
            row = int(np.flatnonzero(bad.to_numpy())[0])
            raise DataError(
                f"{source}: row {row + 1}, field '{column}': {str(raw.iloc[row])[:40]!r} is not a number"
            )
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values.to_numpy()))[0])
        raise DataError(f"{source}: row {row + 1}, field '{column}': the number is not finite")
    return values


def _one_each(events: pd.DataFrame, rule: str, source: str) -> pd.DataFrame:
    pair = ["user", "item"]
    if rule == "error":
        twice = events.duplicated(pair)
        if twice.any():
            row = int(np.flatnonzero(twice.to_numpy())[0])
            user, item = events["user"].iloc[row], events["item"].iloc[row]
            raise DataError(
                f"{source}: user {user!r} has item {item!r} twice; "
                "set data.duplicates to first, last or keep"
            )
        return events
    # First and last in time; a stable sort leaves equal times in the file's order.
    ordered = events.sort_values("time", kind="stable", na_position="first")
    return events.loc[ordered.drop_duplicates(pair, keep=rule).index.sort_values()]  # type: ignore[call-overload]


def k_core(events: pd.DataFrame, min_user: int, min_item: int, source: str) -> pd.DataFrame:
    """Drop users and items with too few interactions until all have enough.

    Raises:
        DataError: nothing is left; the message tells how many there were and which options to lower.
    """
    core = events
    while len(core):
        users = core["user"].map(core["user"].value_counts()) >= min_user
        items = core["item"].map(core["item"].value_counts()) >= min_item
        keep = users & items
        if keep.all():
            return core
        core = core[keep]
    raise DataError(
        f"{source}: no user is left of {events['user'].nunique()} with {len(events)} interactions "
        f"after the {min_user}/{min_item}-core; lower data.min_user and data.min_item"
    )
