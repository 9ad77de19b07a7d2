"""Data that grow: new interactions, users, items and triples beside those that are known already.

Known users and items keep their indices, and new ones follow. What is known stays in its order.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.columns import ids
from lkgrag.data.cleaning.filters import clean_events
from lkgrag.data.growth_tables import grow_attributes, grow_links, grow_triples
from lkgrag.data.interactions import Interactions, natural_order, tie_key, tie_report
from lkgrag.errors import DataError, short

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.data.tables import Tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GrowthReport:
    """What became of new data.

    Attributes:
        given: interactions that were given.
        known: of these, those that were known already: the same user, item and time.
        new: those that were added.
        again: new ones that gave way to another one of the same user and item, by ``data.duplicates``.
        replaced: known interactions that gave way to a new one in the same way.
        dropped: those of new users and items with too few (``data.min_user``, ``data.min_item``).
        users: new users.
        items: new items.
        unchosen: of the new items, those without an interaction.
        changed: known items with another title or other attributes now.
        triples: new triples.
        ignored: sentences on what is left out.
    """

    given: int
    known: int
    new: int
    again: int
    replaced: int
    dropped: int
    users: int
    items: int
    unchosen: int
    changed: int
    triples: int
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for people."""
        parts = [f"{self.given:,} interactions: {self.known:,} known already, {self.new:,} new"]
        if self.replaced:
            parts[0] += f" ({self.replaced:,} in place of an earlier one of the same user and item)"
        if self.again:
            parts[0] += f", {self.again:,} that give way to another one (data.duplicates)"
        if self.dropped:
            parts[0] += f", {self.dropped:,} of new users and items with too few"
        parts.append(f"{self.users:,} new users")
        unchosen = f" ({self.unchosen:,} without an interaction)" if self.unchosen else ""
        parts.append(f"{self.items:,} new items{unchosen}")
        if self.changed:
            parts.append(f"{self.changed:,} known items with other metadata")
        if self.triples:
            parts.append(f"{self.triples:,} new triples")
        return "; ".join(parts)

    def to_dict(self) -> dict[str, int]:
        """The counts as plain values."""
        return {k: v for k, v in asdict(self).items() if isinstance(v, int)}


@dataclass(frozen=True)
class Growth:
    """Grown data.

    Attributes:
        interactions: all that is known now.
        report: what became of the new data.
    """

    interactions: Interactions
    report: GrowthReport


def grow(known: Interactions, tables: Tables, config: DataConfig, unchosen: bool = True) -> Growth:
    """Add new tables to known interactions.

    An interaction that is known already (the same user, item and time; both times unknown are the same) counts
    once. ``data.duplicates`` decides on a pair of user and item at another time. New interactions are sorted in by
    time, with ``data.ties``; those without a time come after all known ones of their user, in the order of the
    file. New users and items need ``data.min_user`` and ``data.min_item`` interactions; known ones stay anyway.

    A row of ``tables.items`` for a known item replaces the values that it gives. New columns of items and users
    are left out, and so are triples of new relations: what was learned does not know them.

    Args:
        known: what is known.
        tables: what is new; the interactions may be an empty table.
        config: of the data.
        unchosen: whether rows of ``tables.items`` without an interaction become items.

    Returns:
        The grown data, also if nothing is new.

    Raises:
        DataError: a column is missing, a value does not fit, or ``data.duplicates=error`` forbids an interaction.
    """
    events = _clean(known, tables, config)
    index = _Indices(known)
    user, item = index.users(events["user"]), index.items(events["item"])
    rating, time = events["rating"].to_numpy(np.float64), events["time"].to_numpy(np.float64)
    is_known = _are_known(known, user, item, time)
    keep = ~is_known
    core = _new_core(known, user, item, keep, config)
    dropped = int((keep & ~core).sum())
    fresh = _Events(user[core], item[core], rating[core].astype(np.float32), time[core])
    fresh, user_ids, item_ids = index.renumber(fresh)
    listed = _listed(known, tables, set(item_ids), events, config) if unchosen else []
    item_ids = [*item_ids, *listed]
    whole, again = _merge(known, fresh, user_ids, item_ids, config)
    items, changed, told = grow_attributes(known.items, tables.items, "item", item_ids)
    users, _, told_users = grow_attributes(known.users, tables.users, "user", user_ids)
    triples, new_triples, told_triples = grow_triples(known, tables, item_ids)
    indptr = np.zeros(len(user_ids) + 1, np.int64)
    np.cumsum(np.bincount(whole.user, minlength=len(user_ids)), out=indptr[1:])
    grown = Interactions(
        user_ids=user_ids,
        item_ids=item_ids,
        indptr=indptr,
        item=whole.item,
        rating=whole.rating,
        time=whole.time,
        items=items,
        users=users,
        triples=triples,
        links=grow_links(known, tables, item_ids),
        stats={
            **known.stats,
            "interactions": len(whole.item),
            "users": len(user_ids),
            "items": len(item_ids),
            **tie_report(indptr, whole.time),
        },
    )
    report = GrowthReport(
        given=len(events),
        known=int(is_known.sum()),
        new=len(fresh.user) - again[1],
        again=again[1],
        replaced=again[0],
        dropped=dropped,
        users=len(user_ids) - known.num_users,
        items=len(item_ids) - known.num_items,
        unchosen=len(listed),
        changed=changed,
        triples=new_triples,
        ignored=(
            *_told(known, user, item, rating, time, is_known),
            *told,
            *told_users,
            *told_triples,
        ),
    )
    return Growth(grown, report)


@dataclass(frozen=True)
class _Events:
    """Interactions as columns, ``[N]`` each."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float32]
    time: NDArray[np.float64]


class _Indices:
    """Indices of ids: known ones as they are, new ones after them in the order of their appearance."""

    def __init__(self, known: Interactions) -> None:
        self.known = known
        self._users = {user: n for n, user in enumerate(known.user_ids)}
        self._items = {item: n for n, item in enumerate(known.item_ids)}

    def users(self, names: pd.Series) -> NDArray[np.int64]:
        """Of the users' ids, int64."""
        return _index(self._users, names)

    def items(self, names: pd.Series) -> NDArray[np.int64]:
        """Of the items' ids, int64."""
        return _index(self._items, names)

    def renumber(self, events: _Events) -> tuple[_Events, list[str], list[str]]:
        """The same events with new ids in their natural order and without gaps, and all ids of users and items."""
        user, user_ids = _renumber(events.user, self._users, self.known.num_users)
        item, item_ids = _renumber(events.item, self._items, self.known.num_items)
        return replace(events, user=user, item=item), user_ids, item_ids


def _index(table: dict[str, int], names: pd.Series) -> NDArray[np.int64]:
    return np.asarray([table.setdefault(name, len(table)) for name in names.tolist()], np.int64)


def _renumber(
    index: NDArray[np.int64], table: dict[str, int], number: int
) -> tuple[NDArray[np.int64], list[str]]:
    names = list(table)
    new = natural_order(names[n] for n in np.unique(index[index >= number]).tolist())
    place = np.arange(len(names))
    for rank, name in enumerate(new):
        place[table[name]] = number + rank
    return place[index], [*names[:number], *new]


def _clean(known: Interactions, tables: Tables, config: DataConfig) -> pd.DataFrame:
    """The new interactions, checked and typed, all of them; an empty table stays empty."""
    if not len(tables.interactions):
        return pd.DataFrame({name: [] for name in ("user", "item", "rating", "time")})
    # Which of two counts is decided below, beside the known ones, and items may have had their titles before.
    events = clean_events(tables, replace(config, duplicates="keep", untitled="keep"))
    if config.untitled == "drop":
        events = events[events["item"].isin(_titled(known, tables))].reset_index(drop=True)
    return events


def _titled(known: Interactions, tables: Tables) -> set[str]:
    """Ids of the items that have a title, known or new."""
    titled = {i for i, t in zip(known.item_ids, known.items["title"], strict=True) if t}
    if tables.items is not None and {"item", "title"} <= set(tables.items.columns):
        texts = tables.items["title"].astype("string").str.strip().fillna("")
        titled |= set(ids(tables.items["item"], "the table of items", "item")[texts != ""])
    return titled


def _told(
    known: Interactions,
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    rating: NDArray[np.float64],
    time: NDArray[np.float64],
    is_known: NDArray[np.bool_],
) -> list[str]:
    """Sentences on what may surprise: other ratings of known interactions, and times that are mere positions."""
    told = []
    there = pd.MultiIndex.from_arrays([known.user, known.item, _comparable(known.time)])
    first = ~there.duplicated()
    keys = [column[is_known] for column in (user, item, _comparable(time))]
    place = there[first].get_indexer(pd.MultiIndex.from_arrays(keys))
    before = known.rating[first][place]
    now = rating[is_known].astype(np.float32)
    other = int((~np.isnan(now) & (now != before)).sum())
    if other:
        told.append(f"{other} known interactions have another rating now; the known one stays")
    if not known.dated:
        last = np.full(int(user.max(initial=0)) + 1 + known.num_users, -np.inf)
        np.maximum.at(last, known.user, _comparable(known.time))
        early = int((~is_known & (time < last[user])).sum())
        if early:
            told.append(
                f"the known times are positions in each history, and {early} new interactions have earlier ones than "
                "known ones of their user: they stand before these; leave the times out to add at the end"
            )
    return told


def _are_known(
    known: Interactions, user: NDArray[np.int64], item: NDArray[np.int64], time: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which interactions are known already, bool ``[N]``: the same user, item and time."""
    there = pd.MultiIndex.from_arrays([known.user, known.item, _comparable(known.time)])
    return np.asarray(pd.MultiIndex.from_arrays([user, item, _comparable(time)]).isin(there))


def _comparable(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times in which unknown ones equal each other."""
    return np.where(np.isnan(time), -np.inf, time)


def _new_core(
    known: Interactions,
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    keep: NDArray[np.bool_],
    config: DataConfig,
) -> NDArray[np.bool_]:
    """The interactions that stay: new users and items need enough of them, known ones none."""
    keep = keep.copy()
    while True:
        fits = np.ones(len(keep), bool)
        for index, number, least in (
            (user, known.num_users, config.min_user),
            (item, known.num_items, config.min_item),
        ):
            count = np.bincount(index[keep], minlength=int(index.max(initial=-1)) + 1)
            fits &= (index < number) | (count[index] >= least)
        if not (keep & ~fits).any():
            return keep
        keep &= fits


def _listed(
    known: Interactions, tables: Tables, there: set[str], events: pd.DataFrame, config: DataConfig
) -> list[str]:
    """New items of the table of items that have no interaction, in their natural order."""
    if tables.items is None or "item" not in tables.items.columns or config.min_item > 1:
        return []
    named = set(ids(tables.items["item"], "the table of items", "item").tolist())
    if config.untitled == "drop":
        named &= _titled(known, tables)
    # An item whose interactions were dropped is not one that nobody has chosen.
    return natural_order(named - there - set(events["item"].tolist()))


def _merge(
    known: Interactions,
    fresh: _Events,
    user_ids: list[str],
    item_ids: list[str],
    config: DataConfig,
) -> tuple[_Events, tuple[int, int]]:
    """All events in order, and how many known and how many new ones gave way to others of their pair."""
    number = len(known)
    user = np.concatenate([known.user, fresh.user])
    item = np.concatenate([known.item, fresh.item])
    rating = np.concatenate([known.rating, fresh.rating]).astype(np.float32)
    time = np.concatenate([known.time, fresh.time])
    # What has no time stays behind the known interaction that it followed; new ones follow all known ones.
    moment = np.concatenate([_filled(known), np.where(np.isnan(fresh.time), np.inf, fresh.time)])
    late = np.isnan(time) & np.isfinite(moment)
    # Without a time only the order of appearance is known, and users without anything new are in order already.
    tie = np.arange(len(user))
    rows = np.flatnonzero(np.isin(user, fresh.user) & ~np.isnan(time))
    rows = rows[_tied(user[rows], time[rows])]
    pairs = {
        "user": np.asarray(user_ids, object)[user[rows]],
        "item": np.asarray(item_ids, object)[item[rows]],
    }
    tie[rows] = tie_key(pd.DataFrame(pairs), config)
    order = np.lexsort((tie, late, moment, user))
    order, gone = _one_each(order, user, item, number, config.duplicates)
    if config.duplicates == "error" and gone != (0, 0):
        # What is known has no pair twice, so the first one beyond it is new.
        raise DataError(_twice(user, item, user_ids, item_ids))
    return _Events(user[order], item[order], rating[order], time[order]), gone


def _tied(user: NDArray[np.int64], time: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which interactions share their time with another one of their user, bool ``[N]``."""
    order = np.lexsort((time, user))
    same = (np.diff(user[order]) == 0) & (np.diff(time[order]) == 0)
    out = np.zeros(len(user), bool)
    out[order[1:][same]] = out[order[:-1][same]] = True
    return out


def _filled(known: Interactions) -> NDArray[np.float64]:
    """The time of each known interaction, or that of the latest one before it; -inf before the first one."""
    time = np.where(np.isnan(known.time), -np.inf, known.time)
    if not np.isnan(known.time).any():
        return time
    return np.asarray(pd.Series(time).groupby(known.user).cummax(), np.float64)


def _one_each(
    order: NDArray[np.int64],
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    number: int,
    rule: str,
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Keep one interaction of each pair with a new one, as ``data.duplicates`` says.

    Args:
        order: of all interactions.
        user: of each.
        item: of each.
        number: how many are known; the others are new.
        rule: the word of ``data.duplicates``.

    Returns:
        The order of those that stay; how many known and how many new ones do not.
    """
    if rule == "keep":
        return order, (0, 0)
    pair = user[order] * (int(item.max(initial=0)) + 1) + item[order]
    touched = np.isin(pair, pair[order >= number])
    twice = pd.Series(pair).duplicated(keep="last" if rule == "last" else "first")
    gone = touched & twice.to_numpy(bool)
    return order[~gone], (int((order[gone] < number).sum()), int((order[gone] >= number).sum()))


def _twice(
    user: NDArray[np.int64], item: NDArray[np.int64], user_ids: list[str], item_ids: list[str]
) -> str:
    """What to do about the first pair that is there twice."""
    pairs = pd.DataFrame({"user": user, "item": item})
    row = int(pairs.duplicated().to_numpy().argmax())
    return (
        f"user {short(user_ids[user[row]])!r} has item {short(item_ids[item[row]])!r} twice, at different times; the "
        "ranker was trained with data.duplicates=error: drop one of them"
    )
