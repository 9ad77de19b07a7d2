"""The lists of each system of stage one, which the candidates of the fused one leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.base import ask_evidence, rows_per_block
from lkgrag.retrieval.ranks import Seen, histories_of, top_k
from lkgrag.utils.progress import bar

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
    k = min(k, retriever.num_items)
    names = [*retriever.systems, retriever.name]
    out = {
        name: (
            np.full((len(events), k), -1, np.int64),
            np.full((len(events), k), -np.inf, np.float32),
        )
        for name in names
    }
    step = rows_per_block(retriever.num_items, len(retriever.systems))
    with bar("lists of each system") as update:
        for start in range(0, len(events), step):
            part = slice(start, start + step)
            seen = Seen.of(histories[part], retriever.mask_seen)
            features = {n: ask_evidence(s, histories[part]) for n, s in retriever.systems.items()}
            fused = retriever.fuse(features, histories[part])
            for name, scores in {**features, retriever.name: fused}.items():
                items, values = out[name]
                items[part], values[part] = top_k(scores, k, seen, retriever.turn)
            update(min(start + step, len(events)), len(events))
    return out
