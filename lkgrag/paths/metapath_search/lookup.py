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


@compiled(cache=True, nogil=True)
def compiled_shared(history, candidates, ptr, value, size, packed):  # type: ignore[no-untyped-def]
    """Find all values that a history item and another candidate of the same prompt share.

    Args:
        history: int64 ``[S, H]``, -1 padding.
        candidates: int64 ``[S, C]``, -1 padding.
        ptr: int64 ``[I + 1]``, where the values begin to which each item leads.
        value: int32, these values, rising within a row.
        size: number of values.
        packed: int64, ``(sample * size + value) * C + slot`` of the candidates' values, rising.

    Returns:
        ``(sample * C + candidate) * H + history`` of each hit, and its value, both int64, in no order.
    """
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    pair, shared = np.empty(0, np.int64), np.empty(0, np.int64)
    # The first turn counts, the second one fills.
    for turn in range(2):
        hits, start = 0, 0
        for sample in range(history.shape[0]):
            end = start + np.searchsorted(packed[start:], (sample + 1) * size * num_candidates)
            for h in range(num_history):
                source, low = history[sample, h], start
                if source < 0:
                    continue
                for place in range(ptr[source], ptr[source + 1]):
                    wanted = (sample * size + value[place]) * num_candidates
                    high = end
                    while low < high:
                        middle = (low + high) // 2
                        if packed[middle] < wanted:
                            low = middle + 1
                        else:
                            high = middle
                    if low == end:
                        break
                    while low < end and packed[low] < wanted + num_candidates:
                        c = packed[low] - wanted
                        if candidates[sample, c] != source:
                            if turn:
                                pair[hits] = (sample * num_candidates + c) * num_history + h
                                shared[hits] = value[place]
                            hits += 1
                        low += 1
            start = end
        if not turn:
            pair, shared = np.empty(hits, np.int64), np.empty(hits, np.int64)
    return pair, shared


def vectorised_shared(history, candidates, ptr, value, size, packed):  # type: ignore[no-untyped-def]
    """Do the same as :func:`compiled_shared` by NumPy: look up the values of all history items at once."""
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    flat = history.reshape(-1)
    filled = np.flatnonzero(flat >= 0)
    first = ptr[flat[filled]]
    row, place = spread(first, ptr[flat[filled] + 1] - first)
    slot = filled[row]
    sample = slot // num_history
    wanted = (sample * size + value[place]) * num_candidates
    low, high = np.searchsorted(packed, wanted), np.searchsorted(packed, wanted + num_candidates)
    hit, entry = spread(low, high - low)
    candidate = packed[entry] - wanted[hit]
    sample, slot, shared = sample[hit], slot[hit], value[place[hit]].astype(np.int64)
    other = flat[slot] != candidates[sample, candidate]
    pair = (sample * num_candidates + candidate) * num_history + slot % num_history
    return pair[other], shared[other]


values_between = compiled_shared if JIT else vectorised_shared
