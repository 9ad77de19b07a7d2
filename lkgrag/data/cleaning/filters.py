"""Filters between a reader and the sequences: types, duplicates, rating floor, k-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.attributes import table_ids
from lkgrag.data.cleaning.columns import ids, numbers, times, where
from lkgrag.errors import DataError, nearest

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.cleaning.texts import Spellings
    from lkgrag.data.tables import Tables


def clean_events(tables: Tables, config: DataConfig, spellings: Spellings) -> pd.DataFrame:
    """Check and type the interactions, drop duplicates and low ratings, keep the file's order.

    Returns:
        Columns ``user item`` (str), ``rating time`` (float).

    Raises:
        DataError: a column is missing, a value is no number, or duplicates are refused.
    """
    out = typed_events(tables, config, spellings)
    source = tables.source
    if not len(out):
        raise DataError(f"{source}: there is no interaction")
    if config.min_rating is not None:
        out = _rated(out, config.min_rating, source)
    if config.untitled == "drop":
        out = out[out["item"].isin(_titled(tables, spellings))]
        if not len(out):
            raise DataError(f"{source}: no item has a title; leave out data.untitled=drop")
    if config.duplicates != "keep":
        out = _one_each(out, config.duplicates, source)
    return out.reset_index(drop=True)


def typed_events(tables: Tables, config: DataConfig, spellings: Spellings) -> pd.DataFrame:
    """Check and type the interactions, all of them; columns and errors as of :func:`clean_events`."""
    events, source = tables.interactions, tables.source
    for column in ("user", "item"):
        if column not in events.columns:
            hint = nearest(column, [str(c) for c in events.columns])
            raise DataError(
                f"{source}: the interactions have no column '{column}'.{hint} "
                f"Columns there: {', '.join(map(str, events.columns)) or 'none'}; name yours by "
                f"data.columns={{{column}: ...}}"
            )

    def name(column: str) -> str:
        return tables.names.get(column, column)

    unknown = pd.Series(np.nan, index=events.index, dtype=float)
    rating = time = unknown
    if "rating" in events.columns:
        rating = numbers(events["rating"], source, name("rating"))
    if "time" in events.columns:
        time = times(events["time"], source, name("time"), config.time_unit)
    return pd.DataFrame(
        {
            "user": spellings.column(ids(events["user"], source, name("user"))),
            "item": spellings.column(ids(events["item"], source, name("item"))),
            "rating": rating,
            "time": time,
        }
    )


def _rated(events: pd.DataFrame, least: float, source: str) -> pd.DataFrame:
    """Drop low ratings; an unknown rating is not a low one."""
    known = events["rating"].dropna()
    if not len(known):
        raise DataError(
            f"{source}: data.min_rating={least:g}, but no interaction has a rating; leave it out"
        )
    out = events[~(events["rating"] < least)]
    if not len(out):
        raise DataError(
            f"{source}: no rating reaches data.min_rating={least:g}; the highest is {known.max():g}"
        )
    return out


def _titled(tables: Tables, spellings: Spellings) -> set[str]:
    """Ids of the items that have a title."""
    if tables.items is None or "title" not in tables.items.columns:
        return set()
    titles = tables.items["title"]
    known = titles.notna() & (titles.astype("string").str.strip() != "")
    return set(table_ids(tables.items, "item", spellings)[known])


def _one_each(events: pd.DataFrame, rule: str, source: str) -> pd.DataFrame:
    pair = ["user", "item"]
    if rule == "error":
        twice = events.duplicated(pair)
        if twice.any():
            row = int(twice.to_numpy().argmax())
            user, item = events["user"].iloc[row], events["item"].iloc[row]
            same = (events["user"] == user) & (events["item"] == item)
            raise DataError(
                f"{source}: {where(events, row)}: user {user!r} has item {item!r} twice (first in "
                f"{where(events, int(same.to_numpy().argmax()))}); set data.duplicates to first, last "
                "or keep"
            )
        return events
    # First and last in time; equal times keep the file's order, and those without a time come first. By codes and one
    # sort, as sorted copies of tens of millions of rows would need gigabytes.
    time = events["time"].fillna(-np.inf).to_numpy(np.float64)
    user, _ = pd.factorize(events["user"])
    item, items = pd.factorize(events["item"])
    both = user.astype(np.int64) * max(len(items), 1) + item
    del user, item
    order = np.lexsort((time, both))
    ordered = both[order]
    is_other = np.ones(len(ordered), bool)
    if rule == "first":
        is_other[1:] = ordered[1:] != ordered[:-1]
    else:
        is_other[:-1] = ordered[1:] != ordered[:-1]
    keep = np.zeros(len(events), bool)
    keep[order[is_other]] = True
    return events.reset_index(drop=True)[keep]


def k_core(events: pd.DataFrame, min_user: int, min_item: int, source: str) -> pd.DataFrame:
    """Drop users and items with too few interactions until all have enough.

    Raises:
        DataError: nothing is left; the message tells how many there were and which options to lower.
    """
    user, users = pd.factorize(events["user"])
    item, items = pd.factorize(events["item"])
    keep = np.ones(len(events), bool)
    while keep.any():
        # Of codes, so that no round copies the table.
        of_user = np.bincount(user[keep], minlength=len(users))
        of_item = np.bincount(item[keep], minlength=len(items))
        left = keep & (of_user[user] >= min_user) & (of_item[item] >= min_item)
        if (left == keep).all():
            return events if keep.all() else events[keep]
        keep = left
    raise DataError(
        f"{source}: no user is left of {events['user'].nunique()} with {len(events)} interactions "
        f"after the {min_user}/{min_item}-core; lower data.min_user and data.min_item"
    )
