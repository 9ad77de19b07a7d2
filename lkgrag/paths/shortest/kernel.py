"""The inner loop of the search for shortest paths, compiled by numba where it is available.

Pairs are joined by rising length. Short lengths have loops of their own (:mod:`lkgrag.paths.shortest.near`), and
pairs that are further apart are left to a search from both ends (:mod:`lkgrag.paths.shortest.far`).
"""

from __future__ import annotations

import numpy as np

from lkgrag.paths.shortest.bits import ONE, ZERO, find_place, lowest, slot_of
from lkgrag.paths.shortest.far import join_far
from lkgrag.paths.shortest.four import join_four
from lkgrag.paths.shortest.near import clear_near, join_one, join_three, join_two
from lkgrag.utils.jit import compiled


@compiled(cache=True, nogil=True)
def _open(history, candidates, pairs):  # type: ignore[no-untyped-def]
    """Open all pairs of two different items."""
    remaining, found = pairs.remaining, pairs.found
    for c in range(len(candidates)):
        found[c] = ZERO
    for h in range(len(history)):
        remaining[h] = ZERO
        if history[h] < 0:
            continue
        for c in range(len(candidates)):
            if candidates[c] >= 0 and candidates[c] != history[h]:
                remaining[h] |= ONE << np.uint64(c)


@compiled(cache=True, nogil=True)
def _any_open(pairs):  # type: ignore[no-untyped-def]
    """Whether any pair is open."""
    remaining = pairs.remaining
    some = ZERO
    for h in range(len(remaining)):
        some |= remaining[h]
    return some != ZERO


@compiled(cache=True, nogil=True)
def _write(prompt, candidates, inward, pairs, room, begin):  # type: ignore[no-untyped-def]
    """Write the paths of the joined pairs in the order of the pairs.

    Args:
        prompt: its number.
        candidates: int64 ``[C]``.
        inward: :class:`Rows` of the graph.
        pairs: of the prompt.
        room: :class:`PathBuffer`.
        begin: number of paths and of edges in the buffer.

    Returns:
        The numbers after that. The number of paths is -1 if ``chain`` is too short.
    """
    ends, lengths, chain = room.ends, room.length, room.chain
    found, length = pairs.found, pairs.length
    first, last, inner = pairs.first, pairs.last, pairs.inner
    shift = room.offset[0], room.offset[1], room.offset[2]
    num_history = len(pairs.remaining)
    num_paths, num_edges = begin
    for c in range(len(candidates)):
        rest = found[c]
        if rest == ZERO:
            continue
        low, high = inward.ptr[candidates[c]], inward.ptr[candidates[c] + 1]
        while rest != ZERO:
            h_bit = lowest(rest)
            rest ^= h_bit
            h = slot_of(h_bit)
            pair = c * num_history + h
            size = length[pair]
            if num_edges + size > len(chain):
                return -1, num_edges
            ends[num_paths, 0] = prompt + shift[0]
            ends[num_paths, 1] = c + shift[1]
            ends[num_paths, 2] = h + shift[2]
            lengths[num_paths] = size
            num_paths += 1
            chain[num_edges] = first[pair]
            if size > 1:
                for k in range(size - 2):
                    chain[num_edges + 1 + k] = inner[pair, k]
                # The candidate's row is in the processor's cache now, for all of its paths.
                place = find_place(inward.node, low, high, last[pair])
                chain[num_edges + size - 1] = inward.edge[place]
            num_edges += size
    return num_paths, num_edges


@compiled(cache=True, nogil=True)
def search(history, candidates, tables, longest, work, pairs, room):  # type: ignore[no-untyped-def]
    """Find one shortest path for every pair of each prompt.

    Args:
        history: int64 ``[B, H]``, nodes, -1 padding; ``H`` is at most 64.
        candidates: int64 ``[B, C]``, nodes, -1 padding; ``C`` is at most 64.
        tables: :class:`Rows` outward and inward.
        longest: largest number of edges of a path; 0 for no limit.
        work: :class:`Scratch` arrays.
        pairs: :class:`Pairs` to work on.
        room: :class:`PathBuffer` for the paths.

    Returns:
        The numbers of paths, of their edges, of neighbours read, and of prompts done, and 0. The last value is
        1 if ``work`` has too few steps, and 2 if ``chain`` is too short. The paths of the prompts done are then
        valid.
    """
    outward, inward = tables
    num_paths, num_edges, touched = 0, 0, 0
    for prompt in range(len(history)):
        starts, ends = history[prompt], candidates[prompt]
        _open(starts, ends, pairs)
        is_enough = True
        touched += join_one(starts, ends, inward, work, pairs)
        if longest != 1:
            touched += join_two(starts, outward, work, pairs)
            if longest != 2 and _any_open(pairs):
                touched += join_three(starts, ends, tables, work, pairs)
                if longest != 3 and _any_open(pairs):
                    touched += join_four(starts, ends, tables, work, pairs)
        clear_near(ends, inward, work)
        if (longest == 0 or longest > 4) and _any_open(pairs):
            more, is_enough = join_far(starts, ends, tables, longest, work, pairs)
            touched += more
        if not is_enough:
            return num_paths, num_edges, touched, prompt, 1
        after, end = _write(prompt, ends, inward, pairs, room, (num_paths, num_edges))
        if after < 0:
            return num_paths, num_edges, touched, prompt, 2
        num_paths, num_edges = after, end
    return num_paths, num_edges, touched, len(history), 0
