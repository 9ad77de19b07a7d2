"""Data that grow: new interactions, users, items and triples beside those that are known already.

Known users and items keep their indices, and new ones follow. What is known stays in its order.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.attributes import table_ids
from lkgrag.data.cleaning.filters import clean_events
from lkgrag.data.cleaning.texts import Spellings, normal
from lkgrag.data.growth_order import Columns, merge_events
from lkgrag.data.growth_tables import grow_attributes, grow_links, grow_triples
from lkgrag.data.interactions import Interactions, natural_order, tie_report

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
    spellings = _spellings(known)
    events = _clean(known, tables, config, spellings)
    users_of, items_of = _Index(known.user_ids), _Index(known.item_ids)
    user, item = users_of.find(events["user"]), items_of.find(events["item"])
    rating, time = events["rating"].to_numpy(np.float64), events["time"].to_numpy(np.float64)
    place = _find_known(known, user, item, time)
    is_known = place >= 0
    keep = ~is_known
    core = _new_core(known, user, item, keep, config)
    dropped = int((keep & ~core).sum())
    surprises = _told(known, user, rating, time, place)
    user, user_ids = users_of.renumber(user[core])
    item, item_ids = items_of.renumber(item[core])
    fresh = Columns(user, item, rating[core].astype(np.float32), time[core])
    listed = _listed(known, tables, set(item_ids), events, config, spellings) if unchosen else []
    item_ids = [*item_ids, *listed]
    whole, again = merge_events(known, fresh, user_ids, item_ids, config)
    items, changed, told = grow_attributes(known.items, tables.items, "item", item_ids, spellings)
    users, _, told_users = grow_attributes(known.users, tables.users, "user", user_ids, spellings)
    triples, new_triples, told_triples = grow_triples(known, tables, user_ids, item_ids, spellings)
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
        links=grow_links(known, tables, item_ids, spellings),
        stats={
            **known.stats,
            "interactions": len(whole.item),
            "users": len(user_ids),
            "items": len(item_ids),
            **tie_report(indptr, whole.time),
        },
        # Its items and users keep their indices.
        graph=known.graph,
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
        ignored=(*surprises, *told, *told_users, *told_triples),
    )
    return Growth(grown, report)


class _Index:
    """Indices of ids: known ones as they are, new ones after them in the order of their appearance.

    Composed and decomposed letters are the same; an id is shown as it came first.
    """

    def __init__(self, known: list[str]) -> None:
        self.number, self.names = len(known), list(known)
        self._places = {normal(name): n for n, name in enumerate(known)}

    def find(self, names: pd.Series) -> NDArray[np.int64]:
        """Of some ids, int64; unknown ones become known."""
        out = []
        for name in names.tolist():
            place = self._places.setdefault(normal(name), len(self.names))
            if place == len(self.names):
                self.names.append(name)
            out.append(place)
        return np.asarray(out, np.int64)

    def renumber(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
        """The indices of what is used, new ids in their natural order and without gaps; and all ids."""
        used = np.unique(index[index >= self.number]).tolist()
        new = natural_order(self.names[n] for n in used)
        place = np.arange(len(self.names))
        for rank, name in enumerate(new):
            place[self._places[normal(name)]] = self.number + rank
        return place[index], [*self.names[: self.number], *new]


def _spellings(known: Interactions) -> Spellings:
    """Spellings in which what is known came first."""
    spellings = Spellings()
    spellings.list([*known.item_ids, *known.user_ids])
    for table in (known.items, known.users):
        for column in table.columns:
            cells = table[column].tolist()
            spellings.list(t for c in cells for t in ([c] if isinstance(c, str) else c or []))
    for table, columns in (
        (known.triples, ("head", "relation", "tail")),
        (known.links, ("entity",)),
    ):
        for column in columns:
            spellings.list(table[column].unique().tolist())
    return spellings


def _clean(
    known: Interactions, tables: Tables, config: DataConfig, spellings: Spellings
) -> pd.DataFrame:
    """The new interactions, checked and typed, all of them; an empty table stays empty."""
    if not len(tables.interactions):
        return pd.DataFrame({name: [] for name in ("user", "item", "rating", "time")})
    # Which of two counts is decided below, beside the known ones, and items may have had their titles before.
    events = clean_events(tables, replace(config, duplicates="keep", untitled="keep"), spellings)
    if config.untitled == "drop":
        events = events[events["item"].isin(_titled(known, tables, spellings))].reset_index(
            drop=True
        )
    return events


def _titled(known: Interactions, tables: Tables, spellings: Spellings) -> set[str]:
    """Ids of the items that have a title, known or new."""
    titled = {i for i, t in zip(known.item_ids, known.items["title"], strict=True) if t}
    if tables.items is not None and {"item", "title"} <= set(tables.items.columns):
        texts = tables.items["title"].astype("string").str.strip().fillna("")
        titled |= set(table_ids(tables.items, "item", spellings)[texts != ""])
    return titled


def _told(
    known: Interactions,
    user: NDArray[np.int64],
    rating: NDArray[np.float64],
    time: NDArray[np.float64],
    place: NDArray[np.int64],
) -> list[str]:
    """Sentences on what may surprise: other ratings of known interactions, and times that are mere positions."""
    told, is_known = [], place >= 0
    before = known.rating[place[is_known]]
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


def _find_known(
    known: Interactions, user: NDArray[np.int64], item: NDArray[np.int64], time: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The first known interaction of the same user, item and time for each, int64 ``[N]``; -1 where there is none."""
    there = pd.MultiIndex.from_arrays([known.user, known.item, _comparable(known.time)])
    first = np.flatnonzero(~there.duplicated())
    found = there[first].get_indexer(pd.MultiIndex.from_arrays([user, item, _comparable(time)]))
    # What is not found has the place -1, which is that of the last element.
    return np.append(first, -1)[found]


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
    known: Interactions,
    tables: Tables,
    there: set[str],
    events: pd.DataFrame,
    config: DataConfig,
    spellings: Spellings,
) -> list[str]:
    """New items of the table of items that have no interaction, in their natural order."""
    if tables.items is None or "item" not in tables.items.columns or config.min_item > 1:
        return []
    named = set(table_ids(tables.items, "item", spellings).tolist())
    if config.untitled == "drop":
        named &= _titled(known, tables, spellings)
    # An item whose interactions were dropped is not one that nobody has chosen.
    return natural_order(named - there - set(events["item"].tolist()))
