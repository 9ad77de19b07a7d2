"""The protocol: from the rank of each event to the figures of each system.

A language model is slow, so it may read the prompts of a drawn part of the users only (:func:`sample_events`). Its
systems then have figures of those users, and every other system has figures of all.

There are two populations. ``all`` is every event; a target that a system misses counts 0. ``retrieved`` is
the events whose target is among the candidates. Systems that only reorder candidates (``lm``, ``scorer``,
``ranker``, ``random``) miss every target that is no candidate. Every ranking ends after ``depth`` items, the
number of candidates. A target that a retriever places deeper is missed, too: else MRR would compare lists of
different lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.evaluation.metrics import HEADLINE, expected_gains, gains, metric_names
from lkgrag.evaluation.significance import Difference, paired_bootstrap
from lkgrag.utils.layout import SYSTEM_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Metrics = dict[str, dict[str, dict[str, dict[str, float]]]]

#: The system whose figures are expectations, not ranks.
RANDOM = "random"
POPULATIONS = ("all", "retrieved")
#: Rank of a target that a retriever may not propose.
NEVER = np.iinfo(np.int64).max
#: Rank of a target in a list that the system did not rank: the language model did not read its prompt.
UNREAD = -1
#: Systems that can only reorder the candidates.
REORDERING = {"lm", "scorer", "without_lm", "ranker"}


@dataclass(frozen=True)
class SplitResult:
    """The ranks of every system on the events of one split.

    Attributes:
        split: ``val`` or ``test``.
        user: int64 ``[E]``.
        position: int64 ``[E]``, within the user's sequence.
        target: int64 ``[E]``, item index.
        num_candidates: int64 ``[E]``, length of the list that was ranked.
        retrieved: bool ``[E]``, whether the target is in it.
        ranks: by system int64 ``[E]``, 1 the best, 0 missed; a rank behind ``depth`` is missed, too.
        depth: where every ranking ends.
        read: bool ``[E]``, the events of the users whose prompts the language model read; None for all.
        reading: the systems that rank those events only.

    Raises:
        ValueError: a shape differs, or a target that was not retrieved has a rank from a system
            named in :data:`REORDERING`.
    """

    split: str
    user: NDArray[np.int64]
    position: NDArray[np.int64]
    target: NDArray[np.int64]
    num_candidates: NDArray[np.int64]
    retrieved: NDArray[np.bool_]
    depth: int
    ranks: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    read: NDArray[np.bool_] | None = None
    reading: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Check shapes, and that no reordering system ranks what is no candidate."""
        size = len(self.user)
        columns = {n: getattr(self, n) for n in ("position", "target", "num_candidates")}
        for name, value in {**columns, "retrieved": self.retrieved, **self.ranks}.items():
            if value.shape != (size,):
                raise ValueError(f"{name} must have shape [{size}], got {list(value.shape)}")
        for name in REORDERING & set(self.ranks):
            if (self.ranks[name][~self.retrieved] != 0).any():
                raise ValueError(f"{name} ranks a target that is no candidate")

    def __len__(self) -> int:
        """Number of events."""
        return len(self.user)

    @property
    def systems(self) -> list[str]:
        """``random`` and every system with ranks, in the order of tables."""
        return sorted({RANDOM, *self.ranks}, key=place)

    def with_ranks(
        self,
        ranks: dict[str, NDArray[np.int64]],
        read: NDArray[np.bool_] | None = None,
        reading: Iterable[str] = (),
    ) -> SplitResult:
        """The same events with more systems.

        Args:
            ranks: of the new systems.
            read: as of the class.
            reading: as of the class.
        """
        fields = {**vars(self), "ranks": {**self.ranks, **ranks}}
        return SplitResult(**{**fields, "read": read, "reading": frozenset(reading)})

    def covered(self, system: str) -> NDArray[np.bool_]:
        """The events that a system ranks, bool ``[E]``."""
        if self.read is None or system not in self.reading:
            return np.ones(len(self), bool)
        return self.read

    def mask(self, population: str) -> NDArray[np.bool_]:
        """The events of a population, bool ``[E]``.

        Raises:
            ValueError: no such population.
        """
        if population not in POPULATIONS:
            raise ValueError(f"population must be one of {POPULATIONS}, got '{population}'")
        return self.retrieved if population == "retrieved" else np.ones(len(self), bool)

    def gains(self, system: str, metric: str) -> NDArray[np.float64]:
        """The metric of a system on each event, float ``[E]``; for ``random`` the expectation."""
        if system == RANDOM:
            return expected_gains(np.where(self.retrieved, self.num_candidates, 0), metric)
        ranks = self.ranks[system]
        return gains(np.where(ranks <= self.depth, ranks, 0), metric)

    def figures(self, ks: list[int]) -> dict[str, dict[str, dict[str, float]]]:
        """``{system: {population: {metric: mean}}}``; NaN for a population without an event."""
        out: dict[str, dict[str, dict[str, float]]] = {}
        for system in self.systems:
            values = {name: self.gains(system, name) for name in metric_names(ks)}
            events = {p: self.mask(p) & self.covered(system) for p in POPULATIONS}
            out[system] = {
                population: {
                    name: float(v[keep].mean()) if keep.any() else float("nan")
                    for name, v in values.items()
                }
                for population, keep in events.items()
            }
        return out

    def compare(
        self,
        system: str,
        other: str,
        metric: str = HEADLINE,
        population: str = "all",
        resamples: int = 10_000,
        seed: int = 0,
    ) -> Difference:
        """The difference of two systems on the events that both rank, with its interval.

        The interval is that of a paired bootstrap over users.

        Args:
            system: of :attr:`systems`.
            other: a system that is subtracted.
            metric: a key, as in :func:`~lkgrag.evaluation.gains`.
            population: ``all`` or ``retrieved``.
            resamples: of the bootstrap.
            seed: of its draws.

        Raises:
            ValueError: no such metric or population.
        """
        keep = self.mask(population) & self.covered(system) & self.covered(other)
        difference = self.gains(system, metric) - self.gains(other, metric)
        return paired_bootstrap(difference[keep], self.user[keep], resamples, seed)

    def frame(
        self, user_ids: list[str] | None = None, item_ids: list[str] | None = None
    ) -> pd.DataFrame:
        """A table with a row an event, for Parquet: user, item, and the rank by each system.

        A rank of 0 is a missed target, and :data:`UNREAD` a list that the system did not rank.

        Args:
            user_ids: original ids of the users, in place of indices.
            item_ids: original ids of the items, likewise.
        """
        columns: dict[str, object] = {
            "user": self.user if user_ids is None else [user_ids[u] for u in self.user],
            "split": [self.split] * len(self),
            "position": self.position,
            "target": self.target if item_ids is None else [item_ids[i] for i in self.target],
            "candidates": self.num_candidates,
            "retrieved": self.retrieved,
        }
        for system in (s for s in self.systems if s in self.ranks):
            ranks = self.ranks[system]
            ranks = np.where(ranks < NEVER, ranks, 0)
            columns[f"rank_{system}"] = np.where(self.covered(system), ranks, UNREAD)
        return pd.DataFrame(columns)


def nest(results: list[SplitResult], ks: list[int]) -> Metrics:
    """``{system: {split: {population: {metric: mean}}}}``, as in ``metrics.json``."""
    out: Metrics = {}
    for result in results:
        for system, populations in result.figures(ks).items():
            out.setdefault(system, {})[result.split] = populations
    return {s: out[s] for s in sorted(out, key=place)}


def sample_events(
    user: NDArray[np.int64], retrieved: NDArray[np.bool_], most: int, seed: int
) -> NDArray[np.int64]:
    """Draw the events to judge if the language model may only rank a number of them.

    Users are drawn until their retrieved events reach ``most``. All events of a drawn user count: the share
    of missed targets stays what it is, and every figure is unbiased.

    Args:
        user: int64 ``[E]``.
        retrieved: bool ``[E]``.
        most: of the retrieved events; a negative number takes every event.
        seed: of the draw.

    Returns:
        Indices of events in rising order; at least those of one user.
    """
    if most < 0 or int(retrieved.sum()) <= most:
        return np.arange(len(user))
    users, place = np.unique(user, return_inverse=True)
    order = np.random.default_rng([seed, 0xE7E7]).permutation(len(users))
    cost = np.bincount(place, retrieved, minlength=len(users))[order]
    last = max(1, int(np.searchsorted(np.cumsum(cost), most, side="right")))
    return np.flatnonzero(np.isin(place, order[:last]))


def place(system: str) -> tuple[float, str]:
    """The place of a system in tables; custom retrievers stand before the fused one."""
    number: float
    if system in SYSTEM_ORDER:
        number = SYSTEM_ORDER.index(system)
    else:
        number = SYSTEM_ORDER.index("retriever") - 0.5
    return number, system


def systems_of(metrics: dict[str, Any]) -> dict[str, Any]:
    """The systems of ``metrics.json``, without what stands beside them."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, dict) and "all" in (value.get("test") or {})
    }
