"""Interactions: the items of each user in time order, and the attributes of items and users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.config import DataConfig
from lkgrag.data.cleaning.attributes import attributes, links_of, titles_of, triples_of
from lkgrag.data.cleaning.filters import clean_events, k_core
from lkgrag.data.cleaning.joins import check_described, check_joins
from lkgrag.data.cleaning.texts import Spellings
from lkgrag.data.dropped import Dropped
from lkgrag.data.frames import build_tables
from lkgrag.data.own_graph import OwnGraph, own_graph
from lkgrag.data.tables import Tables
from lkgrag.errors import ConfigError
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

#: Longer ids are sorted as text, even if they consist of digits.
LONGEST_NUMBER = 100
#: Times are taken as positions if more than this share of the users begin at 0 or 1.
POSITIONS = 0.9


@dataclass(frozen=True)
class Interactions:
    """Sequences of item indices, one for each user, in time order.

    Attributes:
        user_ids: original id of each user index.
        item_ids: original id of each item index.
        indptr: int64 ``[num_users + 1]``; user ``u`` owns ``indptr[u]:indptr[u + 1]`` of the arrays.
        item: int64 ``[N]``.
        rating: float32 ``[N]``, NaN where unknown.
        time: float64 ``[N]``, seconds since 1970 (with ``data.time_unit=any`` as in the file), NaN
            where unknown.
        items: one row for each item, with the column ``title`` and attribute columns of lists of strings.
        users: one row for each user, with attribute columns of lists of strings.
        triples: knowledge-graph triples ``head relation tail``.
        links: ``item`` (index) and ``entity`` (str).
        stats: counts of interactions, users and items before and after the filters, and of tied times.
        dropped: users and items that had too few interactions.
        graph: a graph of one's own that :meth:`with_graph` has put beside them; None for none.
    """

    user_ids: list[str]
    item_ids: list[str]
    indptr: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float32]
    time: NDArray[np.float64]
    items: pd.DataFrame
    users: pd.DataFrame
    triples: pd.DataFrame
    links: pd.DataFrame
    stats: dict[str, Any] = field(default_factory=dict)
    dropped: Dropped = field(default_factory=Dropped)
    graph: OwnGraph | None = None

    __repr__ = sizes

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Number of items."""
        return len(self.item_ids)

    @property
    def user(self) -> NDArray[np.int64]:
        """The user index of each interaction, int64 ``[N]``."""
        return np.repeat(np.arange(self.num_users), np.diff(self.indptr))

    @property
    def position(self) -> NDArray[np.int64]:
        """The position of each interaction within its user's sequence, int64 ``[N]``."""
        return np.arange(len(self.item)) - np.repeat(self.indptr[:-1], np.diff(self.indptr))

    @property
    def dated(self) -> bool:
        """Whether times are points in time that can be compared between users.

        Rebuilt files often have mere positions instead: 0, 1, 2, ... for each user. Positions do not tell
        which of two users' interactions came first, nor which items were chosen on the same day.
        """
        first = self.time[self.indptr[:-1][np.diff(self.indptr) > 0]]
        return not (len(first) > 0 and bool(np.mean(first <= 1) > POSITIONS))

    def __len__(self) -> int:
        """Number of interactions."""
        return len(self.item)

    def sequence(self, user: int) -> NDArray[np.int64]:
        """Return the items of one user in time order, int64."""
        return self.item[self.indptr[user] : self.indptr[user + 1]]

    def first(self, number: NDArray[np.int64]) -> Interactions:
        """Keep only the first interactions of each user; users, items and attributes stay.

        Args:
            number: int64 ``[num_users]``, how many interactions of each user to keep.
        """
        keep = self.position < number[self.user]
        indptr = np.zeros_like(self.indptr)
        np.cumsum(np.minimum(number, np.diff(self.indptr)), out=indptr[1:])
        columns = {name: getattr(self, name)[keep] for name in ("item", "rating", "time")}
        return replace(self, indptr=indptr, stats={}, **columns)

    @property
    def titles(self) -> list[str]:
        """The title of each item, or its id if the title is unknown."""
        return [
            t if isinstance(t, str) and t.strip() else i
            for t, i in zip(self.items["title"], self.item_ids, strict=True)
        ]

    def with_graph(
        self,
        data: HeteroData,
        item: str = "item",
        item_ids: Sequence[object] | None = None,
        user: str | None = None,
        user_ids: Sequence[object] | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> Interactions:
        """Put a graph of one's own beside the relations that a run makes.

        Its edge types join the knowledge graph, each with an inverse. Edges between users and items are left
        out: a run counts them on training interactions alone. Vectors of nodes are not used.

        Args:
            data: PyG's ``HeteroData`` with an ``edge_index`` for each edge type; between items, ``weight`` in
                (0, 1] is kept.
            item: the node type whose nodes are items.
            item_ids: the item of each node of this type, ``[N]``; by default ``data[item].id``.
            user: the node type whose nodes are users, if there is one.
            user_ids: the user of each node of this type; by default ``data[user].id``.
            names: what the nodes of other types are called, for explanations; by default ``data[type].name``.

        Raises:
            DataError: there is no such node type, ids do not match, or an edge leads to no node.
        """
        types = {"item": item, **({"user": user} if user is not None else {})}
        ids = {"item": item_ids, "user": user_ids}
        known = {"item": self.item_ids, "user": self.user_ids}
        return replace(self, graph=own_graph(data, known, types, ids, dict(names or {})))

    @classmethod
    def from_frames(
        cls,
        interactions: Any,
        items: Any = None,
        triples: Any = None,
        users: Any = None,
        config: DataConfig | None = None,
    ) -> Interactions:
        """Build from tables in memory: pandas, polars, pyarrow, or anything with columns.

        Columns with the usual names of RecBole, MovieLens and Amazon, as ``user_id``, ``movieId`` and ``Timestamp``,
        are taken in any case, with one warning that says which. Ids are exact texts: ``1``, ``1.0`` and
        ``Decimal(1)`` are one.

        Args:
            interactions: columns ``user item``, optional ``rating time``.
            items: column ``item``, optional ``title`` and attributes. The value of an attribute is a string,
                a whole number or a list. Columns of other numbers are left out, as in files.
            triples: columns ``head relation tail``; heads and tails that are item ids join the items.
            users: column ``user`` and attributes.
            config: filters, tie order, unit of times, other names of columns; by default a
                :class:`~lkgrag.config.DataConfig`.

        Raises:
            DataError: a column is missing, a value does not fit, or nothing is left.
            ConfigError: ``config`` is no DataConfig, or ``config.columns`` has a key that is no usual name of a
                column.
        """
        config = DataConfig() if config is None else config
        if not isinstance(config, DataConfig):
            raise ConfigError(
                f"config: must be a lkgrag.config.DataConfig, got {type(config).__name__}; as "
                "DataConfig(min_user=1)"
            )
        tables = build_tables(interactions, items, triples, users, config.columns)
        return cls.from_tables(tables, config=config)

    @classmethod
    def from_tables(cls, tables: Tables, config: DataConfig | None = None) -> Interactions:
        """Filter, order and index the tables of a reader.

        The interactions of a user are ordered by time. Those without a time come first and keep the order of
        the file. Equal times are ordered by ``data.ties``.

        Raises:
            DataError: a column is missing, a value does not fit, or nothing is left.
        """
        config = config or DataConfig()
        # One for all tables, so that an id has the same spelling in each.
        spellings = Spellings()
        raw = clean_events(tables, config, spellings)
        core = k_core(raw, config.min_user, config.min_item, tables.source)
        # Missing times count as equal and earliest, and keep the order of the file.
        key = core["time"].fillna(-np.inf)
        second = np.where(core["time"].isna(), np.arange(len(core)), tie_key(core, config))
        user_ids = natural_order(core["user"].unique())
        item_ids = natural_order(core["item"].unique())
        user_index = pd.Index(user_ids)
        item_index = pd.Index(item_ids)
        user = user_index.get_indexer(pd.Index(core["user"]))
        item = item_index.get_indexer(pd.Index(core["item"]))
        order = np.lexsort((second, key.to_numpy(), user))
        time = core["time"].to_numpy(np.float64)[order]
        user = user[order]
        indptr = np.zeros(len(user_ids) + 1, np.int64)
        np.cumsum(np.bincount(user, minlength=len(user_ids)), out=indptr[1:])
        links, triples = links_of(tables, item_index, spellings), triples_of(tables, spellings)
        check_described(tables, "item", raw, item_ids, spellings)
        check_described(tables, "user", raw, user_ids, spellings)
        warning = check_joins(tables, raw, triples, spellings)
        stats: dict[str, Any] = {
            "raw_interactions": len(tables.interactions),
            "interactions": len(core),
            "users": len(user_ids),
            "items": len(item_ids),
            **tie_report(indptr, time),
        }
        if warning is not None:
            stats["unjoined"] = warning
        if tables.notes:
            stats["notes"] = list(tables.notes)
        return cls(
            user_ids=user_ids,
            item_ids=item_ids,
            indptr=indptr,
            item=item[order].astype(np.int64),
            rating=core["rating"].to_numpy(np.float32)[order],
            time=time,
            items=attributes(tables.items, "item", item_index, spellings, with_title=True),
            users=attributes(tables.users, "user", user_index, spellings),
            triples=triples,
            links=links,
            stats=stats,
            dropped=Dropped.of(raw, core, titles_of(tables.items, spellings)),
        )


def natural_order(ids: Iterable[object]) -> list[str]:
    """Sort ids: whole numbers first, by value, then all others as text."""
    return sorted(
        (str(i) for i in ids),
        key=lambda s: (0, int(s), s) if s.isdecimal() and len(s) <= LONGEST_NUMBER else (1, 0, s),
    )


def tie_report(indptr: NDArray[np.int64], time: NDArray[np.float64]) -> dict[str, float | None]:
    """Measure how much the order of interactions depends on the tie rule.

    Returns:
        ``tied_interactions``, the share of interactions that have the same time as the one before. And
        ``tied_last_two``, the share of users whose last two interactions have the same time, so that the tie
        rule decides which of them tests. Both are None if no time is known.
    """
    if len(time) == 0 or np.isnan(time).all():
        return {"tied_interactions": None, "tied_last_two": None}
    same = np.zeros(len(time), bool)
    same[1:] = time[1:] == time[:-1]
    same[indptr[:-1]] = False
    last = indptr[1:] - 1
    return {"tied_interactions": float(same.mean()), "tied_last_two": float(same[last].mean())}


def tie_key(core: pd.DataFrame, config: DataConfig) -> NDArray[np.int64]:
    """The order of interactions at the same time, by ``data.ties``: int64, one number a row.

    Args:
        core: columns ``user`` and ``item`` (ids), in the order of the file.
        config: of the data.
    """
    if config.ties == "file":
        return np.arange(len(core), dtype=np.int64)
    if config.ties == "id":
        order = {i: n for n, i in enumerate(natural_order(core["item"].unique()))}
        return np.asarray([order[i] for i in core["item"]], np.int64)
    # A keyed hash of the ids has no pattern, and is the same on every machine and in every file order.
    key = f"lkgrag-{config.tie_seed}".encode()
    digests = (
        int.from_bytes(blake2b(f"{u}\t{i}".encode(), digest_size=7, key=key).digest(), "big")
        for u, i in zip(core["user"], core["item"], strict=True)
    )
    return np.fromiter(digests, np.int64, len(core))
