"""Candidate lists: what stage one proposes for events, and where the targets rank."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.queries import Queries
from lkgrag.data.splits.base import Events
from lkgrag.errors import LkgragError
from lkgrag.retrieval.ranks import histories_of, pessimistic_ranks, top_k
from lkgrag.retrieval.scored import scored_blocks
from lkgrag.utils.files import read_parquet, write_parquet
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.retrieval.fusion.retriever import FusedRetriever

#: Prefix of the columns that hold ranks.
RANK = "rank_"


@dataclass(frozen=True)
class CandidateLists:
    """What stage one proposed for ``E`` events.

    Attributes:
        events: the predictions to make.
        items: int64 ``[E, k]``, best first, -1 padding at the end.
        scores: float32 ``[E, k]``, fused scores, -inf in padding.
        ranks: by system, int64 ``[E]``: the target's rank among all items not masked, 1 the best. Equal
            scores count against it. Where the target is masked it is
            :data:`~lkgrag.retrieval.ranks.MISSED`.
    """

    events: Events
    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    ranks: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    __repr__ = sizes

    def __post_init__(self) -> None:
        """Check the shapes."""
        if self.items.ndim != 2 or self.items.shape != self.scores.shape:
            raise ValueError(
                f"items and scores must have one shape [E, k], got {list(self.items.shape)} "
                f"and {list(self.scores.shape)}"
            )
        for name, value in {"items": self.items, **self.ranks}.items():
            if len(value) != len(self.events):
                raise ValueError(f"{name} must have {len(self.events)} rows, got {len(value)}")

    def __len__(self) -> int:
        """Number of events."""
        return len(self.events)

    def queries(self, interactions: Interactions, history: int) -> Queries:
        """The rankings to make for these lists.

        Args:
            interactions: the sequences.
            history: most history items of a query.
        """
        return Queries.from_events(interactions, self.events, self.items, self.scores, history)

    def __getitem__(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> CandidateLists:
        """A part of the events."""
        ranks = {name: rank[index] for name, rank in self.ranks.items()}
        return CandidateLists(self.events[index], self.items[index], self.scores[index], ranks)

    @property
    def retrieved(self) -> NDArray[np.bool_]:
        """Whether the target is among the candidates, bool ``[E]``."""
        return (self.items == self.events.target[:, None]).any(1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file with a row for each event."""
        columns = {
            "user": self.events.user,
            "position": self.events.position,
            "target": self.events.target,
            "items": list(self.items),
            "scores": list(self.scores),
        }
        columns |= {RANK + name: rank for name, rank in self.ranks.items()}
        write_parquet(path, pd.DataFrame(columns))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CandidateLists:
        """Read what :meth:`save` wrote.

        Raises:
            LkgragError: the file is missing or broken.
        """
        advice = "delete it and run again"
        table = read_parquet(path, advice)
        try:
            events = Events(*(table[c].to_numpy(np.int64) for c in ("user", "position", "target")))
            ranks = {
                str(c).removeprefix(RANK): table[c].to_numpy(np.int64)
                for c in table.columns
                if str(c).startswith(RANK)
            }
            items = np.stack([*table["items"]]) if len(table) else np.zeros((0, 0), np.int64)
            scores = np.stack([*table["scores"]]) if len(table) else np.zeros((0, 0), np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise LkgragError(f"{path}: no candidate lists ({error}); {advice}") from error
        return cls(events, items, scores, ranks)

    @classmethod
    def concat(cls, parts: list[CandidateLists]) -> CandidateLists:
        """All parts in one, in the order of (user, position)."""
        user, position, target = (
            np.concatenate([getattr(p.events, n) for p in parts])
            for n in ("user", "position", "target")
        )
        whole = cls(
            Events(user, position, target),
            np.concatenate([p.items for p in parts]),
            np.concatenate([p.scores for p in parts]),
            {name: np.concatenate([p.ranks[name] for p in parts]) for name in parts[0].ranks},
        )
        return whole[np.lexsort((position, user))]


def candidate_lists(
    retriever: FusedRetriever,
    interactions: Interactions,
    events: Events,
    k: int,
    beside: Mapping[str, FusedRetriever] | None = None,
) -> CandidateLists:
    """Propose items for events, each from all items before it, and rank the targets by every system.

    Scores are computed in blocks, so that memory does not grow with the events.

    Args:
        retriever: the fused systems; the targets are ranked by all systems, fused or not.
        interactions: the sequences; only what precedes an event is read.
        events: predictions to make.
        k: candidates an event.
        beside: by name, the same systems with other weights; they rank the targets, too, and propose nothing.
    """
    others = beside or {}
    histories = histories_of(interactions, events)
    items = np.full((len(events), k), -1, np.int64)
    scores = np.full((len(events), k), -np.inf, np.float32)
    ranks = {
        n: np.zeros(len(events), np.int64) for n in [*retriever.systems, *others, retriever.name]
    }
    for part, seen, found in scored_blocks(retriever, histories, "candidates", others):
        items[part], scores[part] = top_k(found[retriever.name], k, seen, retriever.turn)
        for name, value in found.items():
            ranks[name][part] = pessimistic_ranks(value, events.target[part], seen)
    return CandidateLists(events, items, scores, ranks)
