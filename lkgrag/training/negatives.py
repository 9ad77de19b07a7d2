"""Training lists with random negatives, as LlamaRec and LlamaRec-LKG-RAG use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.queries import Queries

if TYPE_CHECKING:
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events


def uniform_queries(
    interactions: Interactions, events: Events, k: int, history: int, seed: int
) -> Queries:
    """Shuffled lists of the target and random items that the user had not chosen before.

    Every item is equally likely, whatever its popularity. The draw of a list depends on
    (seed, user, position) alone.

    Args:
        interactions: the sequences.
        events: the events to predict.
        k: candidates a list; fewer if the catalogue has no more.
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
        excluded = {*past.tolist(), target}
        num_negatives = min(k - 1, interactions.num_items - len(excluded))
        candidates = [target]
        if 2 * (num_negatives + len(excluded)) > interactions.num_items:
            # So few items remain that repeated draws would take long.
            remaining = np.setdiff1d(np.arange(interactions.num_items), list(excluded))
            candidates += rng.permutation(remaining)[:num_negatives].tolist()
        while len(candidates) <= num_negatives:
            item = int(rng.integers(interactions.num_items))
            if item not in excluded:
                excluded.add(item)
                candidates.append(item)
        items[row, : len(candidates)] = rng.permutation(candidates)
    scores = np.where(items >= 0, 0.0, -np.inf).astype(np.float32)
    return Queries.from_events(interactions, events, items, scores, history)
