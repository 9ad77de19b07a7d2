"""Lookup of the edges between two items in rows of sorted targets, compiled by numba."""

from __future__ import annotations

import numpy as np

from lkgrag.paths.adjacency import spread
from lkgrag.utils.jit import JIT, compiled


@compiled(cache=True, nogil=True)
def compiled_lookup(history, candidates, ptr, target, pair, number, place):  # type: ignore[no-untyped-def]
    """Find all edges from a history item to a candidate of the same prompt.

    Args:
        history: int64 ``[S, H]``, -1 padding.
        candidates: int64 ``[S, C]``, -1 padding.
        ptr: int64 ``[R, I + 1]``, where each item's edges begin, by relation.
        target: int32 ``[E]``, rising within a row.
        pair: int64, written with ``(sample * C + candidate) * H + history`` of each edge.
        number: int64, written with the relation of each edge.
        place: int64, written with the place of each edge in ``target``.

    Returns:
        The number of edges; they are in no order.
    """
    num_edges = 0
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    slots = np.empty(num_candidates, np.int64)
    for sample in range(history.shape[0]):
        # Candidates are sorted by item, so that each bisection starts where the last one ended.
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
                        pair[num_edges] = (sample * num_candidates + c) * num_history + h
                        number[num_edges] = r
                        place[num_edges] = low
                        num_edges += 1
    return num_edges


def vectorised_lookup(history, candidates, ptr, target, pair, number, place):  # type: ignore[no-untyped-def]
    """Do the same as :func:`compiled_lookup` by NumPy: join the history items' rows with the candidates."""
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    flat = history.reshape(-1)
    filled = np.flatnonzero(flat >= 0)
    wanted = np.flatnonzero(candidates.reshape(-1) >= 0)
    width = int(max(target.max(initial=0), candidates.max(initial=0))) + 1
    # One number for each (prompt, candidate item), sorted, in which targets are looked up.
    key = wanted // num_candidates * width + candidates.reshape(-1)[wanted]
    order = np.argsort(key, kind="stable")
    key, slot = key[order], wanted[order] % num_candidates
    num_edges = 0
    for row in range(len(ptr)):
        start = ptr[row, flat[filled]]
        source, edge = spread(start, ptr[row, flat[filled] + 1] - start)
        source = filled[source]
        sample = source // num_history
        reached = sample * width + target[edge]
        low, high = np.searchsorted(key, reached), np.searchsorted(key, reached, "right")
        hit, at = spread(low, high - low)
        part = slice(num_edges, num_edges + len(hit))
        pair[part] = (sample[hit] * num_candidates + slot[at]) * num_history + source[
            hit
        ] % num_history
        number[part], place[part] = row, edge[hit]
        num_edges += len(hit)
    return num_edges


edges_between = compiled_lookup if JIT else vectorised_lookup
