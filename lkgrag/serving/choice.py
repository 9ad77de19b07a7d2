"""The choice of the paths that explain a ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.paths.adjacency import cap
from lkgrag.utils.jit import JIT, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


def choose_paths(
    index: NDArray[np.int64],
    slot: NDArray[np.int64],
    metapath: NDArray[np.int64],
    salience: NDArray[np.float32],
    most: int,
) -> NDArray[np.int64]:
    """Choose the most salient path of each bundle, and the best bundles of each candidate.

    Paths of one slot and one meta-path form a bundle. Equal saliences keep the order of ``index``.

    Args:
        index: int64 ``[N]``, paths.
        slot: int64 ``[N]``, of each path.
        metapath: int64 ``[N]``, of each path.
        salience: float32 ``[N]``, of each path.
        most: paths a slot, at most.

    Returns:
        Those of ``index`` that are chosen: slot by slot, the most salient first.
    """
    if most < 1 or not len(index):
        return index[:0]
    if JIT:
        places = np.empty(len(index), np.int64)
        return index[places[: compiled_choice(slot, metapath, salience, most, places)]]
    bundle = slot * (int(metapath.max()) + 1) + metapath
    order = np.lexsort((-salience, bundle))
    first = np.flatnonzero(np.diff(bundle[order], prepend=-1))
    # Bundles of one salience are in the order of their first paths.
    start = np.minimum.reduceat(order, first)
    best = order[first]
    turn = np.lexsort((start, -salience[best], slot[best]))
    best = best[turn]
    return index[best[cap(slot[best], most)]]


@compiled(cache=True, nogil=True)
def compiled_choice(slot, metapath, salience, most, places):  # type: ignore[no-untyped-def]
    """Write the places of the chosen paths into ``places``, and return their number; see :func:`choose_paths`."""
    num_slots, num = slot.max() + 1, metapath.max() + 1
    # The best path of each bundle, and its first one.
    best = np.full((num_slots, num), -1, np.int64)
    first = np.full((num_slots, num), -1, np.int64)
    for place in range(len(slot)):
        s, m = slot[place], metapath[place]
        if best[s, m] < 0:
            best[s, m] = first[s, m] = place
        elif salience[place] > salience[best[s, m]]:
            best[s, m] = place
    count = 0
    for s in range(num_slots):
        for _ in range(most):
            top = -1
            for m in range(num):
                if best[s, m] < 0:
                    continue
                if top >= 0:
                    mine, other = salience[best[s, m]], salience[best[s, top]]
                    # Bundles of one salience are in the order of their first paths.
                    if mine < other or (mine == other and first[s, m] > first[s, top]):
                        continue
                top = m
            if top < 0:
                break
            places[count] = best[s, top]
            best[s, top] = -1
            count += 1
    return count
