"""Scores of all items by every system of stage one, block by block, so that memory does not grow with the events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lkgrag.retrieval.base import ask_evidence, rows_per_block
from lkgrag.retrieval.ranks import Seen
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.retriever import FusedRetriever


def scored_blocks(
    retriever: FusedRetriever,
    histories: list[NDArray[np.int64]],
    task: str,
    beside: Mapping[str, FusedRetriever] | None = None,
) -> Iterator[tuple[slice, Seen, dict[str, NDArray[np.float32]]]]:
    """Score all items for histories.

    Args:
        retriever: the fused systems.
        histories: ``H`` arrays of item indices, oldest first.
        task: name of the work, for its progress.
        beside: by name, the same systems with other weights.

    Yields:
        A block of histories, the items that the retriever masks in it, and scores float32 ``[B, num_items]`` by name:
        of each system, of those of ``beside``, and of ``retriever``.
    """
    step = rows_per_block(retriever.num_items, len(retriever.systems))
    with bar(task) as update:
        for start in range(0, len(histories), step):
            part = slice(start, start + step)
            block = histories[part]
            features = {n: ask_evidence(s, block) for n, s in retriever.systems.items()}
            fused = {n: other.fuse(features, block) for n, other in (beside or {}).items()}
            fused[retriever.name] = retriever.fuse(features, block)
            yield part, Seen.of(block, retriever.mask_seen), {**features, **fused}
            update(min(start + step, len(histories)), len(histories))
