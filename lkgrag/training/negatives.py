"""Training lists with random negatives, as LlamaRec and LlamaRec-LKG-RAG were trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.queries import Queries
from lkgrag.data.splits.base import Events, span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions


def every_training_event(interactions: Interactions, train_end: NDArray[np.int64]) -> Events:
    """Each training interaction but a user's first, to be predicted from those before it."""
    return span(interactions, np.ones_like(train_end), np.maximum(train_end - 1, 0))


def uniform_queries(
    interactions: Interactions, events: Events, k: int, history: int, seed: int
) -> Queries:
    """Lists of the target and random items that the user had not chosen before, shuffled.

    Every item is equally likely, however popular. A list's draw follows from (seed, user, position).

    Args:
        interactions: the sequences.
        events: what is to be predicted.
        k: candidates a list; fewer where the catalogue has no more.
        history: most history items a query.
        seed: of the draws.
    """
    items = np.full((len(events), k), -1, np.int64)
    for row, (user, position, target) in enumerate(
        zip(events.user.tolist(), events.position.tolist(), events.target.tolist(), strict=True)
    ):
        rng = np.random.default_rng([seed, user, position, 0x2E6])
        begin = interactions.indptr[user]
        past = interactions.item[begin : begin + position]
        taken = {*past.tolist(), target}
        wanted = min(k - 1, interactions.num_items - len(taken))
        chosen = [target]
        if 2 * (wanted + len(taken)) > interactions.num_items:
            # So little is left that drawing until something fits would take long.
            left = np.setdiff1d(np.arange(interactions.num_items), list(taken))
            chosen += rng.permutation(left)[:wanted].tolist()
        while len(chosen) <= wanted:
            item = int(rng.integers(interactions.num_items))
            if item not in taken:
                taken.add(item)
                chosen.append(item)
        items[row, : len(chosen)] = rng.permutation(chosen)
    scores = np.where(items >= 0, 0.0, -np.inf).astype(np.float32)
    return Queries.from_events(interactions, events, items, scores, history)
