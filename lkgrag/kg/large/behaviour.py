"""Behaviour relations by queries: the same edges as of arrays, counted for some source items at a time.

Counts are whole numbers, so their order of addition does not matter. Weights follow from them by the expression
that the arrays use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.kg.base import Edges
from lkgrag.kg.sources.counting import Pairs, count_pairs, count_times, normalised
from lkgrag.utils.duck import parquet
from lkgrag.utils.key_counts import count_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import KGConfig
    from lkgrag.kg.large.histories import Histories

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


def follow_rows(histories: Histories, config: KGConfig) -> int:
    """How many pairs of :func:`followed` fit into memory."""
    plain = histories.is_once and not config.temporal
    return max(1, histories.duck.arrays // (KEY if plain else WITH_USER))


def followed(histories: Histories, config: KGConfig, bounds: tuple[int, int]) -> Iterator[Counted]:
    """Count the users of each ordered pair within ``kg.follow_window``.

    Args:
        histories: the training interactions.
        config: of the graph.
        bounds: first source item, and the one after the last.

    Yields:
        Counts, rising by source, then target.
    """
    steps = range(1, config.follow_window + 1)
    columns = [f"lead(item, {n}) over () as item_{n}" for n in steps]
    plain = histories.is_once and not config.temporal
    if not plain:
        columns += [f"lead(time, {n}) over () as time_{n}" for n in steps]
    size = histories.num_items
    # Windows over all rows in their order are streamed: no row is sorted or kept.
    windows = f"select *, {', '.join(columns)} from {histories.table}"
    some = f"from ({windows}) where item >= {bounds[0]} and item < {bounds[1]}"
    if plain:
        keys = ", ".join(
            f"case when after >= {n} and item_{n} <> item then item::bigint * {size} + item_{n} end"
            for n in steps
        )
        sql = f"select key from (select unnest([{keys}]) as key {some}) where key is not null"
        rows = int(histories.pairs_within(config.follow_window)[slice(*bounds)].sum())
        for key, count in count_keys(histories.duck, sql, rows, config.behaviour_min):
            yield Counted(key, count, None)
        return
    targets = ", ".join(f"case when after >= {n} then item_{n} end" for n in steps)
    times = ", ".join(f"time_{n}" for n in steps)
    sql = (
        "select * from (select user::bigint as user, item::bigint as item, "
        f"unnest([{targets}])::bigint as target, unnest([{times}]) as time {some}) where target is not null"
    )
    found = histories.duck.columns(sql)
    pairs = Pairs(found["item"], found["target"], found["user"], found["time"])
    key, number, time = count_pairs(pairs, size, config.behaviour_min)
    yield Counted(key, number, time if config.temporal else None)


def meet_rows(histories: Histories, config: KGConfig) -> int:
    """How many pairs of :func:`met` fit into memory."""
    return max(1, histories.duck.arrays // (WITH_TIME if config.temporal else KEY))


def met(histories: Histories, config: KGConfig, bounds: tuple[int, int]) -> Iterator[Counted]:
    """Count the users that two items have in common, the smaller item first.

    Args:
        histories: the training interactions.
        config: of the graph.
        bounds: first smaller item, and the one after the last.

    Yields:
        Counts, rising by smaller, then larger item.
    """
    some = f"(select * from {histories.once} where item >= {bounds[0]} and item < {bounds[1]})"
    key = f"a.item::bigint * {histories.num_items} + b.item as key"
    joined = f"from {histories.once} b join {some} a on a.user = b.user and a.item < b.item"
    if not config.temporal:
        rows = int(histories.others[slice(*bounds)].sum())
        for keys, count in count_keys(
            histories.duck, f"select {key} {joined}", rows, config.behaviour_min
        ):
            yield Counted(keys, count, None)
        return
    # An unknown time makes the pair's unknown too.
    time = "case when a.time > b.time or a.time is null then a.time else b.time end as time"
    found = histories.duck.columns(f"select {key}, {time} {joined}")
    yield Counted(*count_times(found["key"], found["time"], config.behaviour_min))


#: Columns of pairs, and of the edges made of them.
PAIR = "low, high, weight, count, time"
EDGE = "source, target, weight, count, time"


def strongest(histories: Histories, pairs: list[Path], top: int, bounds: tuple[int, int]) -> str:
    """A query of the ``top`` strongest partners of some items (ties: the smaller partner).

    Args:
        histories: the training interactions.
        pairs: files of all pairs, with the columns :data:`PAIR`.
        top: most partners of an item.
        bounds: first item, and the one after the last.
    """
    files = parquet(pairs)
    low, high = (f"{end} >= {bounds[0]} and {end} < {bounds[1]}" for end in ("low", "high"))
    return (
        f"select {EDGE} from (select low as source, high as target, weight, count, time from {files} where {low} "
        f"union all select high, low, weight, count, time from {files} where {high}) "
        f"qualify row_number() over (partition by source order by weight desc, target) <= {top}"
    )


def both_ways(kept: list[Path], bounds: tuple[int, int]) -> str:
    """A query of the edges of some sources, in both directions, of what either end keeps, in order.

    Args:
        kept: files of the partners that items keep, with the columns :data:`EDGE`.
        bounds: first source, and the one after the last.
    """
    files = parquet(kept)
    source, target = (
        f"{end} >= {bounds[0]} and {end} < {bounds[1]}" for end in ("source", "target")
    )
    return (
        f"select distinct {EDGE} from (select {EDGE} from {files} where {source} "
        f"union all select target, source, weight, count, time from {files} where {target}) order by source, target"
    )
