"""The edges between two items, looked up in rows of sorted targets; compiled by numba."""

from __future__ import annotations

import numpy as np

from lkgrag.paths.adjacency import spread
from lkgrag.utils.jit import JIT, compiled


@compiled(cache=True, nogil=True)
def compiled_lookup(history, candidates, ptr, target, pair, number, place):  # type: ignore[no-untyped-def]
    """All edges from a history item to a candidate of the same prompt.

    Args:
        history: int64 ``[S, H]``, -1 padding.
        candidates: int64 ``[S, C]``, -1 padding.
        ptr: int64 ``[R, I + 1]``, where each item's edges begin, by relation.
        target: int32 ``[E]``, rising within a row.
        pair: int64, room for ``(sample * C + candidate) * H + history`` of each edge found; written.
        number: int64, room for the edges' relations; written.
        place: int64, room for the edges' places; written.

    Returns:
        How many were found; they come in no order.
    """
    found = 0
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    slots = np.empty(num_candidates, np.int64)
    for sample in range(history.shape[0]):
        # By rising item, so that each search goes on where the last one ended.
        filled = 0
        for c in range(num_candidates):
            if candidates[sample, c] >= 0:
                at = filled
                while at > 0 and candidates[sample, slots[at - 1]] > candidates[sample, c]:
                    slots[at] = slots[at - 1]
                    at -= 1
                slots[at] = c
                filled += 1
        for h in range(num_history):
            source = history[sample, h]
            if source < 0:
                continue
            for r in range(ptr.shape[0]):
                low, end = ptr[r, source], ptr[r, source + 1]
                for slot in range(filled):
                    c = slots[slot]
                    wanted = candidates[sample, c]
                    high = end
                    while low < high:
                        middle = (low + high) // 2
                        if target[middle] < wanted:
                            low = middle + 1
                        else:
                            high = middle
                    if low == end:
                        break
                    if target[low] == wanted:
                        pair[found] = (sample * num_candidates + c) * num_history + h
                        number[found] = r
                        place[found] = low
                        found += 1
    return found


def vectorised_lookup(history, candidates, ptr, target, pair, number, place):  # type: ignore[no-untyped-def]
    """The same by NumPy: the rows of the history items joined with the candidates by one sort."""
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    flat = history.reshape(-1)
    filled = np.flatnonzero(flat >= 0)
    wanted = np.flatnonzero(candidates.reshape(-1) >= 0)
    width = int(max(target.max(initial=0), candidates.max(initial=0))) + 1
    # One number for (prompt, item), sorted, to look targets up in.
    key = wanted // num_candidates * width + candidates.reshape(-1)[wanted]
    order = np.argsort(key, kind="stable")
    key, slot = key[order], wanted[order] % num_candidates
    found = 0
    for row in range(len(ptr)):
        start = ptr[row, flat[filled]]
        source, edge = spread(start, ptr[row, flat[filled] + 1] - start)
        source = filled[source]
        sample = source // num_history
        asked = sample * width + target[edge]
        low, high = np.searchsorted(key, asked), np.searchsorted(key, asked, "right")
        hit, at = spread(low, high - low)
        part = slice(found, found + len(hit))
        pair[part] = (sample[hit] * num_candidates + slot[at]) * num_history + source[
            hit
        ] % num_history
        number[part], place[part] = row, edge[hit]
        found += len(hit)
    return found


edges_between = compiled_lookup if JIT else vectorised_lookup
