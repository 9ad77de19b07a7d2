"""The lists of each system of stage one, which the candidates of the fused one leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.ranks import histories_of, top_k
from lkgrag.retrieval.scored import scored_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events
    from lkgrag.retrieval.fusion.retriever import FusedRetriever


def system_lists(
    retriever: FusedRetriever, interactions: Interactions, events: Events, k: int
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The best items of events by each system and by their fusion, among all items that are not masked.

    Args:
        retriever: the fused systems.
        interactions: the sequences; only what precedes an event is read.
        events: ``E`` predictions to make.
        k: length of the lists.

    Returns:
        By system, items int64 ``[E, k]``, best first, -1 where there are fewer, and their scores float32 ``[E, k]``.
    """
    histories = histories_of(interactions, events)
    names = [*retriever.systems, retriever.name]
    out = {
        name: (
            np.full((len(events), k), -1, np.int64),
            np.full((len(events), k), -np.inf, np.float32),
        )
        for name in names
    }
    for part, seen, found in scored_blocks(retriever, histories, "lists of each system"):
        for name, scores in found.items():
            items, values = out[name]
            items[part], values[part] = top_k(scores, k, seen, retriever.turn)
    return out
