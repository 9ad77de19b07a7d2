"""Training interactions as a table of queries, and what is known of each item before anything is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lkgrag.utils.arrays import distinct
from lkgrag.utils.duck import Duck

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.base import Training
    from lkgrag.utils.steps import Hands

    #: First item, and the one after the last.
    Bounds = tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """Rows that histories give and that are counted for some items at a time.

    Attributes:
        name: of these rows, with all options that they depend on.
        query: of histories and bounds of items (None for all), for the rows of those items.
        column: that tells the item: the whole part of its quotient by ``scale``.
        scale: see there.
        most: of histories, the most rows of each item, int64 ``[I]``.
        is_plain: whether there is no other column.
    """

    name: str
    query: Callable[[Histories, Bounds | None], str]
    column: str
    scale: int
    most: Callable[[Histories], NDArray[np.int64]]
    is_plain: bool = True


class Sent(Protocol):
    """Histories that can be sent to other processes."""

    def on(self, duck: Duck) -> Histories:
        """In a database."""


def within(bounds: Bounds | None, column: str = "item", scale: int = 1) -> str:
    """The condition of a query that an item lies within bounds."""
    if bounds is None:
        return "true"
    return f"{column} >= {bounds[0] * scale} and {column} < {bounds[1] * scale}"


@dataclass(frozen=True)
class Histories:
    """Training interactions in a database.

    Attributes:
        duck: the database.
        table: a view, or a table function: ``user item position after time``, sorted by user, then position.
            ``position`` is the number of interactions of the user before this one, ``after`` of those after it.
        num_items: ``I``.
        is_once: whether no user has an item more than once.
    """

    duck: Duck
    table: str
    num_items: int
    is_once: bool
    _within: dict[tuple[int, bool], NDArray[np.int64]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of(cls, duck: Duck, training: Training) -> Histories:
        """Histories of arrays in memory."""
        user, number = training.user, len(training.user)
        length = np.bincount(user, minlength=training.num_users)
        # The first ones of each user, so that positions have no gap.
        after = np.repeat(np.cumsum(length), length) - np.arange(number) - 1
        columns = {
            "user": user,
            "item": training.item,
            "position": training.position,
            "after": after,
            "time": training.time,
        }
        duck.put("histories", columns)
        pairs = distinct(user * training.num_items + training.item)
        return cls(duck, "histories", training.num_items, len(pairs) == number)

    @property
    def sent(self) -> Sent:
        """What the processes that count are sent: here, the same."""
        return self

    def on(self, duck: Duck) -> Histories:
        """In their database: these know only their own."""
        return self

    def prepare(self, hands: Hands, windows: list[tuple[int, bool]]) -> None:
        """Count what is known of each item; here, it is counted when it is asked for.

        Args:
            hands: who counts.
            windows: arguments with which :meth:`pairs_within` will be called.
        """

    def divide(self, hands: Hands, rows: Rows) -> None:
        """Give rows an order by item; here, a query finds those of some items."""

    def forget(self, rows: Rows) -> None:
        """Delete what :meth:`divide` has made."""

    def rows(self, rows: Rows, bounds: Bounds) -> str:
        """A query for the rows of some items."""
        return rows.query(self, bounds)

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """Number of training interactions of each item, int64 ``[I]``."""
        return self.duck.sums(
            f"select item as place, 1 as value from {self.table}",
            self.num_items,
        )

    @cached_property
    def degree(self) -> NDArray[np.int64]:
        """Number of users of each item, int64 ``[I]``."""
        return self.duck.sums(
            f"select item as place, 1 as value from {self.once}",
            self.num_items,
        )

    @cached_property
    def once(self) -> str:
        """One row for each user and item, the first in the user's history: ``user item others time``.

        ``others`` is the number of the user's interactions beside this one.
        """
        if self.is_once:
            return f"(select user, item, position + after as others, time from {self.table})"
        self.duck.run(
            "create or replace temp table once as select user, item, first_others as others, first_time as time "
            "from (select user, item, min(position + after) as first_others, min({'place': position, 'time': time}).time as first_time "
            f"from {self.table} group by user, item)"
        )
        return "once"

    @cached_property
    def others(self) -> NDArray[np.int64]:
        """Most items that an item's users have beside it, summed over them, int64 ``[I]``."""
        return self.duck.sums(
            f"select item as place, others as value from {self.once}",
            self.num_items,
        )

    def pairs_within(self, window: int, both: bool = False) -> NDArray[np.int64]:
        """How many interactions follow an item's within a window, int64 ``[I]``; with ``both``, also precede."""
        if (window, both) not in self._within:
            before = f" + least(position, {window})" if both else ""
            self._within[window, both] = self.duck.sums(
                f"select item as place, least(after, {window}){before} as value from {self.table}",
                self.num_items,
            )
        return self._within[window, both]
