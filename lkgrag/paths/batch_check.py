"""The check of a batch's indices in one compiled pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.utils.jit import compiled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@compiled(cache=True, nogil=True)
def are_indices_sound(  # type: ignore[no-untyped-def]
    slots: tuple[
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
    ],
    start: NDArray[np.int64],
    history_items: NDArray[np.int64],
    candidates: int,
    metapaths: int,
):
    """Whether all indices of a batch lie in their limits, paths are sorted, and start where they should.

    Args:
        slots: ``sample``, ``history``, ``candidate`` and ``metapath`` of ``P`` paths.
        start: int64 ``[P]``, the first node of each path.
        history_items: int64 ``[B, H]``.
        candidates: ``C``.
        metapaths: number of meta-paths.
    """
    sample, history, candidate, metapath = slots
    prompts, length = history_items.shape
    last = -1
    for path in range(len(sample)):
        row, place, slot = sample[path], history[path], candidate[path]
        if not (0 <= row < prompts and 0 <= place < length and 0 <= slot < candidates):
            return False
        if not 0 <= metapath[path] < metapaths:
            return False
        rank = row * candidates + slot
        if rank < last or history_items[row, place] != start[path]:
            return False
        last = rank
    return True
