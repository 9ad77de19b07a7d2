"""Pools: for each event the items that any leading system ranks high, with all systems' log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.base import rows_per_block
from lkgrag.retrieval.ranks import Seen, tie_order, top_k
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.splits.base import Events

    Features = Callable[[list[NDArray[np.int64]]], dict[str, NDArray[np.float32]]]

#: Items that each leading system brings into the pool.
POOL = 100


@dataclass(frozen=True)
class Pools:
    """What weights are fitted on: the pool of each event, where the target is in it.

    Attributes:
        names: of the ``S`` systems.
        features: float32 ``[N, S]``, log-probabilities of the pools' items, pool after pool.
        count: int64 ``[N]``, training interactions of the pools' items.
        start: int64 ``[E]``, where each pool begins.
        target: int64 ``[E]``, row of each pool's target.
        length: int64 ``[E]``, items of each event's history.
        user: int64 ``[E]``, of each event.
    """

    names: list[str]
    features: NDArray[np.float32]
    count: NDArray[np.int64]
    start: NDArray[np.int64]
    target: NDArray[np.int64]
    length: NDArray[np.int64]
    user: NDArray[np.int64]

    @property
    def size(self) -> NDArray[np.int64]:
        """Items of each pool, int64 ``[E]``."""
        return np.diff(np.append(self.start, len(self.features)))

    def __getitem__(self, index: NDArray[np.bool_]) -> Pools:
        """The pools of some events, bool ``[E]``."""
        rows, size = np.repeat(index, self.size), self.size[index]
        start = np.cumsum(size) - size
        return Pools(
            self.names,
            self.features[rows],
            self.count[rows],
            start,
            (self.target - self.start)[index] + start,
            self.length[index],
            self.user[index],
        )

    def of(self, names: list[str]) -> Pools:
        """The same pools with some of the systems."""
        columns = [self.names.index(name) for name in names]
        return replace(self, names=names, features=self.features[:, columns])

    def __len__(self) -> int:
        """Number of events."""
        return len(self.start)

    @classmethod
    def concat(cls, parts: Sequence[Pools]) -> Pools:
        """Pools of the same systems, one after the other; at least one."""
        before = np.cumsum([0, *(len(p.features) for p in parts)])
        return cls(
            parts[0].names,
            np.concatenate([p.features for p in parts]),
            np.concatenate([p.count for p in parts]),
            np.concatenate([p.start + n for p, n in zip(parts, before, strict=False)]),
            np.concatenate([p.target + n for p, n in zip(parts, before, strict=False)]),
            np.concatenate([p.length for p in parts]),
            np.concatenate([p.user for p in parts]),
        )


def make_pools(
    source: Features,
    names: list[str],
    leaders: list[str],
    histories: list[NDArray[np.int64]],
    events: Events,
    popularity: NDArray[np.int64],
    mask_seen: bool,
) -> Pools:
    """Gather the features of the pools' items, in blocks of events.

    Args:
        source: gives each system's log-probabilities ``[B, I]`` for histories.
        names: systems to weigh.
        leaders: systems whose best items form the pools.
        histories: of the events.
        events: their users and targets.
        popularity: int64 ``[I]``, training interactions of each item.
        mask_seen: leave the history out of the pools.
    """
    rows: list[NDArray[np.float32]] = []
    counts: list[NDArray[np.int64]] = []
    start, place, kept, size = [], [], [], 0
    turn = tie_order(popularity)
    step = rows_per_block(len(popularity), len(names))
    with bar("fusion weights") as update:
        for first in range(0, len(histories), step):
            part = histories[first : first + step]
            features = source(part)
            seen = Seen.of(part, mask_seen)
            tops = [top_k(features[n], POOL, seen, turn)[0] for n in leaders]
            for row, pool in enumerate(np.concatenate(tops, 1)):
                members = np.unique(pool[pool >= 0])
                of_target = np.flatnonzero(members == events.target[first + row])
                if not len(of_target):
                    continue
                rows.append(np.stack([features[n][row, members] for n in names], 1))
                counts.append(popularity[members])
                kept.append(first + row)
                start.append(size)
                place.append(size + int(of_target[0]))
                size += len(members)
            update(min(first + step, len(histories)), len(histories))
    whole = np.concatenate(rows) if rows else np.zeros((0, len(names)), np.float32)
    return Pools(
        names,
        whole,
        np.concatenate([np.zeros(0, np.int64), *counts]),
        np.array(start, np.int64),
        np.array(place, np.int64),
        np.array([len(histories[event]) for event in kept], np.int64),
        events.user[np.array(kept, np.int64)],
    )
