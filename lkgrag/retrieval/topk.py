"""The inner loop of the top of a list, compiled by numba: one pass over a row with a heap of ``k``."""

from __future__ import annotations

import numpy as np

from lkgrag.utils.jit import JIT, compiled


@compiled(cache=True, nogil=True)
def _behind(scores, turn, a, b):  # type: ignore[no-untyped-def]
    """Whether item ``a`` comes after item ``b``."""
    return scores[a] < scores[b] or (scores[a] == scores[b] and turn[a] > turn[b])


@compiled(cache=True, nogil=True)
def _sink(scores, turn, heap, size):  # type: ignore[no-untyped-def]
    """Let the root of a heap whose root is the last item down to its place."""
    place = 0
    while True:
        last = place
        for child in (2 * place + 1, 2 * place + 2):
            if child < size and _behind(scores, turn, heap[child], heap[last]):
                last = child
        if last == place:
            return
        heap[place], heap[last] = heap[last], heap[place]
        place = last


@compiled(cache=True, nogil=True)
def compiled_best(scores, seen_ptr, seen_item, turn, k, items, values):  # type: ignore[no-untyped-def]
    """The best ``k`` of each row, best first.

    Args:
        scores: float32 ``[B, I]``; minus infinity is never listed.
        seen_ptr: int64 ``[B + 1]``, where each row's masked items begin.
        seen_item: int64, masked items, row after row.
        turn: int64 ``[I]``, which of equals comes first: the smaller.
        k: length of the lists.
        items: int64 ``[B, k]``, all -1; written.
        values: float32 ``[B, k]``, all minus infinity; written.
    """
    heap = [0] * k
    hidden = [False] * scores.shape[1]
    for row in range(scores.shape[0]):
        mine = scores[row]
        for place in range(seen_ptr[row], seen_ptr[row + 1]):
            hidden[seen_item[place]] = True
        size = 0
        for item in range(len(mine)):
            value = mine[item]
            if size == k and value < mine[heap[0]]:
                continue
            if hidden[item] or not value > float("-inf"):
                continue
            if size < k:
                # Up from the end while it comes after its parent.
                place = size
                heap[place] = item
                size += 1
                while place > 0 and _behind(mine, turn, heap[place], heap[(place - 1) // 2]):
                    parent = (place - 1) // 2
                    heap[place], heap[parent] = heap[parent], heap[place]
                    place = parent
            elif _behind(mine, turn, heap[0], item):
                heap[0] = item
                _sink(mine, turn, heap, size)
        while size > 0:
            size -= 1
            items[row, size] = heap[0]
            values[row, size] = mine[heap[0]]
            heap[0] = heap[size]
            _sink(mine, turn, heap, size)
        for place in range(seen_ptr[row], seen_ptr[row + 1]):
            hidden[seen_item[place]] = False


def vectorised_best(scores, seen_ptr, seen_item, turn, k, items, values):  # type: ignore[no-untyped-def]
    """The same by NumPy: a partition of each row, then a sort of what reaches its k-th best."""
    in_turn = np.argsort(turn)
    masked = scores.copy()
    masked[np.repeat(np.arange(len(scores)), np.diff(seen_ptr)), seen_item] = -np.inf
    masked = masked[:, in_turn]
    width = min(k, masked.shape[1])
    floor = np.partition(masked, masked.shape[1] - width, axis=1)[:, masked.shape[1] - width]
    for row in range(len(scores)):
        reach = np.flatnonzero((masked[row] >= floor[row]) & (masked[row] > -np.inf))
        best = reach[np.argsort(-masked[row, reach], kind="stable")[:width]]
        items[row, : len(best)] = in_turn[best]
        values[row, : len(best)] = masked[row, best]


best_of_rows = compiled_best if JIT else vectorised_best
