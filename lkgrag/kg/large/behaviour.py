"""Behaviour relations by queries: the same edges as of arrays, counted for some source items at a time.

Counts are whole numbers, so their order of addition does not matter. Weights follow from them by the expression
that the arrays use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.kg.base import Edges
from lkgrag.kg.large.histories import Rows, within
from lkgrag.kg.sources.counting import Pairs, count_pairs, count_times, normalised
from lkgrag.utils.duck import parquet
from lkgrag.utils.key_counts import count_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import KGConfig
    from lkgrag.kg.large.histories import Bounds, Histories

#: Bytes of a row while it is counted: of a key alone, of a key with a time, and with a user and a time.
KEY, WITH_TIME, WITH_USER = 8, 48, 96


@dataclass(frozen=True)
class Counted:
    """Some of the counts of a relation.

    Attributes:
        key: int64 ``[E]``, ``source * I + target``, rising.
        count: int64 ``[E]``, number of users.
        time: float64 ``[E]``, or None without ``kg.temporal``.
    """

    key: NDArray[np.int64]
    count: NDArray[np.int64]
    time: NDArray[np.float64] | None

    def edges(self, histories: Histories, shrinkage: float) -> Edges:
        """The edges, with weights."""
        index = np.stack([self.key // histories.num_items, self.key % histories.num_items])
        weight = normalised(self.count, histories.degree, index, shrinkage)
        return Edges(index, weight, self.count, time=self.time)


def follow_rows(histories: Histories, config: KGConfig) -> Rows:
    """The pairs within ``kg.follow_window``: ``key``, or ``user item target time`` where users are told apart."""
    plain = histories.is_once and not config.temporal
    window, size = config.follow_window, histories.num_items
    return Rows(
        f"followed-{window}-{'plain' if plain else 'users'}",
        partial(_follow_query, window, plain),
        *(("key", size) if plain else ("item", 1)),
        partial(_follow_most, window),
        plain,
    )


def _follow_most(window: int, histories: Histories) -> NDArray[np.int64]:
    return histories.pairs_within(window)


def _follow_query(window: int, plain: bool, histories: Histories, bounds: Bounds | None) -> str:
    steps = range(1, window + 1)
    columns = [f"lead(item, {n}) over () as item_{n}" for n in steps]
    if not plain:
        columns += [f"lead(time, {n}) over () as time_{n}" for n in steps]
    # Windows over all rows in their order are streamed: no row is sorted or kept.
    windows = f"select *, {', '.join(columns)} from {histories.table}"
    some = f"from ({windows}) where {within(bounds)}"
    if plain:
        keys = ", ".join(
            f"case when after >= {n} and item_{n} <> item then item::bigint * {histories.num_items} + item_{n} end"
            for n in steps
        )
        return f"select key from (select unnest([{keys}]) as key {some}) where key is not null"
    targets = ", ".join(f"case when after >= {n} then item_{n} end" for n in steps)
    times = ", ".join(f"time_{n}" for n in steps)
    return (
        "select * from (select user::bigint as user, item::bigint as item, "
        f"unnest([{targets}])::bigint as target, unnest([{times}]) as time {some}) where target is not null"
    )


def follow_bytes(histories: Histories, config: KGConfig) -> int:
    """Bytes of a row of :func:`followed` in memory."""
    plain = histories.is_once and not config.temporal
    return KEY if plain else WITH_USER


def followed(histories: Histories, config: KGConfig, bounds: Bounds) -> Iterator[Counted]:
    """Count the users of each ordered pair within ``kg.follow_window``.

    Args:
        histories: the training interactions.
        config: of the graph.
        bounds: first source item, and the one after the last.

    Yields:
        Counts, rising by source, then target.
    """
    rows = follow_rows(histories, config)
    sql = histories.rows(rows, bounds)
    if rows.is_plain:
        most = int(rows.most(histories)[slice(*bounds)].sum())
        for key, count in count_keys(histories.duck, sql, most, config.behaviour_min):
            yield Counted(key, count, None)
        return
    found = histories.duck.columns(sql)
    pairs = Pairs(found["item"], found["target"], found["user"], found["time"])
    key, number, time = count_pairs(pairs, histories.num_items, config.behaviour_min)
    yield Counted(key, number, time if config.temporal else None)


def meet_rows(histories: Histories, config: KGConfig) -> Rows:
    """The pairs of items of a user, the smaller item first: ``key``, with ``kg.temporal`` also ``time``."""
    return Rows(
        f"met-{'temporal' if config.temporal else 'plain'}",
        partial(_meet_query, config.temporal),
        "key",
        histories.num_items,
        _meet_most,
        not config.temporal,
    )


def _meet_most(histories: Histories) -> NDArray[np.int64]:
    return histories.others


def _meet_query(temporal: bool, histories: Histories, bounds: Bounds | None) -> str:
    some = f"(select * from {histories.once} where {within(bounds)})"
    key = f"a.item::bigint * {histories.num_items} + b.item as key"
    joined = f"from {histories.once} b join {some} a on a.user = b.user and a.item < b.item"
    if not temporal:
        return f"select {key} {joined}"
    # An unknown time makes the pair's unknown too.
    time = "case when a.time > b.time or a.time is null then a.time else b.time end as time"
    return f"select {key}, {time} {joined}"


def meet_bytes(config: KGConfig) -> int:
    """Bytes of a row of :func:`met` in memory."""
    return WITH_TIME if config.temporal else KEY


def met(histories: Histories, config: KGConfig, bounds: Bounds) -> Iterator[Counted]:
    """Count the users that two items have in common, the smaller item first.

    Args:
        histories: the training interactions.
        config: of the graph.
        bounds: first smaller item, and the one after the last.

    Yields:
        Counts, rising by smaller, then larger item.
    """
    rows = meet_rows(histories, config)
    sql = histories.rows(rows, bounds)
    if not config.temporal:
        most = int(rows.most(histories)[slice(*bounds)].sum())
        for keys, count in count_keys(histories.duck, sql, most, config.behaviour_min):
            yield Counted(keys, count, None)
        return
    found = histories.duck.columns(sql)
    yield Counted(*count_times(found["key"], found["time"], config.behaviour_min))


#: Columns of pairs, and of the edges made of them.
PAIR = "low, high, weight, count, time"
EDGE = "source, target, weight, count, time"


def strongest(pairs: list[Path], top: int, bounds: Bounds) -> str:
    """A query of the ``top`` strongest partners of some items (ties: the smaller partner).

    Args:
        pairs: files of all pairs, with the columns :data:`PAIR`.
        top: most partners of an item.
        bounds: first item, and the one after the last.
    """
    files = parquet(pairs)
    low, high = (within(bounds, end) for end in ("low", "high"))
    return (
        f"select {EDGE} from (select low as source, high as target, weight, count, time from {files} where {low} "
        f"union all select high, low, weight, count, time from {files} where {high}) "
        f"qualify row_number() over (partition by source order by weight desc, target) <= {top}"
    )


def both_ways(kept: list[Path], bounds: Bounds) -> str:
    """A query of the edges of some sources, in both directions, of what either end keeps, in order.

    Args:
        kept: files of the partners that items keep, with the columns :data:`EDGE`.
        bounds: first source, and the one after the last.
    """
    files = parquet(kept)
    source, target = (within(bounds, end) for end in ("source", "target"))
    return (
        f"select distinct {EDGE} from (select {EDGE} from {files} where {source} "
        f"union all select target, source, weight, count, time from {files} where {target}) order by source, target"
    )
