"""The search for paths of four edges, which meet two steps from either end.

The candidates' bits are spread two steps back. Then the history items' second steps are read in rising order, and
each row only as far as it can still give a pair an earlier middle. So the second side writes nothing, and
reads little.
"""

from __future__ import annotations

import numpy as np

from lkgrag.paths.shortest.bits import AHEAD, ONE, ZERO, find_place, lowest, slot_of
from lkgrag.utils.jit import compiled, prefetch


@compiled(cache=True, nogil=True)
def _fetch_row(rows, place, stop):  # type: ignore[no-untyped-def]
    """Fetch the row of a neighbour that is read some places later."""
    prefetch(rows.ptr, rows.node[min(place + 2 * AHEAD, stop - 1)])
    prefetch(rows.node, rows.ptr[rows.node[min(place + AHEAD, stop - 1)]])


@compiled(cache=True, nogil=True)
def _spread(candidates, open_c, inward, work):  # type: ignore[no-untyped-def]
    """Set the bits of the open candidates two steps from them; return the number of neighbours read."""
    at_candidate, twice = work.near[1], work.twice
    touched = 0
    for c in range(len(candidates)):
        c_bit = ONE << np.uint64(c)
        if open_c & c_bit == ZERO:
            continue
        first, stop = inward.ptr[candidates[c]], inward.ptr[candidates[c] + 1]
        for place in range(first, stop):
            _fetch_row(inward, place, stop)
            node = inward.node[place]
            bits = at_candidate[node] & open_c
            # A node between several candidates spreads all bits at its first candidate.
            if lowest(bits) != c_bit:
                continue
            begin, end = inward.ptr[node], inward.ptr[node + 1]
            touched += end - begin
            for further in range(begin, end):
                twice[inward.node[further]] |= bits
    return touched


@compiled(cache=True, nogil=True)
def _clear(candidates, open_c, inward, work):  # type: ignore[no-untyped-def]
    """Undo :func:`_spread`."""
    at_candidate, twice = work.near[1], work.twice
    for c in range(len(candidates)):
        c_bit = ONE << np.uint64(c)
        if open_c & c_bit == ZERO:
            continue
        for place in range(inward.ptr[candidates[c]], inward.ptr[candidates[c] + 1]):
            node = inward.node[place]
            if lowest(at_candidate[node] & open_c) == c_bit:
                for further in range(inward.ptr[node], inward.ptr[node + 1]):
                    twice[inward.node[further]] = ZERO


@compiled(cache=True, nogil=True)
def _find_middles(history, outward, work, pairs, middle):  # type: ignore[no-untyped-def]
    """Find the first node in the middle of each open pair; return the number of neighbours read."""
    at_history, twice = work.near[0], work.twice
    remaining = pairs.remaining
    num_history, num_nodes = len(history), len(twice)
    # No pair has a middle from here on that comes before the one that it has.
    bound, touched = num_nodes, 0
    for h in range(num_history):
        if remaining[h] == ZERO:
            continue
        h_bit = ONE << np.uint64(h)
        first, stop = outward.ptr[history[h]], outward.ptr[history[h] + 1]
        for place in range(first, stop):
            _fetch_row(outward, place, stop)
            node = outward.node[place]
            here = at_history[node]
            # A node between several history items is read at its first one.
            if lowest(here) != h_bit:
                continue
            wanted, rest = ZERO, here
            while rest != ZERO:
                bit = lowest(rest)
                rest ^= bit
                wanted |= remaining[slot_of(bit)]
            begin, end = outward.ptr[node], outward.ptr[node + 1]
            further, is_better = begin, False
            while further < end:
                at = outward.node[further]
                if at >= bound:
                    break
                new = twice[at] & wanted
                further += 1
                if new == ZERO:
                    continue
                # The row rises, so it has no earlier middle for these candidates.
                wanted ^= new
                rest = here
                while rest != ZERO:
                    bit = lowest(rest)
                    rest ^= bit
                    slot = slot_of(bit)
                    joined = new & remaining[slot]
                    while joined != ZERO:
                        c_bit = lowest(joined)
                        joined ^= c_bit
                        pair = slot_of(c_bit) * num_history + slot
                        if at < middle[pair]:
                            middle[pair] = at
                            is_better = True
                if wanted == ZERO:
                    break
            touched += further - begin
            if is_better:
                bound = 0
                for slot in range(num_history):
                    rest = remaining[slot]
                    while rest != ZERO:
                        c_bit = lowest(rest)
                        rest ^= c_bit
                        bound = max(bound, middle[slot_of(c_bit) * num_history + slot])
    return touched


@compiled(cache=True, nogil=True)
def _first_with(nodes, begin, end, has, bit):  # type: ignore[no-untyped-def]
    """Return the first place of a row whose node has a bit."""
    place = begin
    while place < end and has[nodes[place]] & bit == ZERO:
        place += 1
    return place


@compiled(cache=True, nogil=True)
def join_four(history, candidates, tables, work, pairs):  # type: ignore[no-untyped-def]
    """Join the open pairs that have three nodes between them; return the number of neighbours read."""
    outward, inward = tables
    at_history, at_candidate = work.near[0], work.near[1]
    remaining, found, length = pairs.remaining, pairs.found, pairs.length
    num_history, num_nodes = len(history), len(at_history)
    open_c = ZERO
    for h in range(num_history):
        if remaining[h] == ZERO:
            continue
        open_c |= remaining[h]
        for place in range(outward.ptr[history[h]], outward.ptr[history[h] + 1]):
            at_history[outward.node[place]] |= ONE << np.uint64(h)
    middle = np.full(len(length), num_nodes, np.int64)
    touched = _spread(candidates, open_c, inward, work)
    touched += _find_middles(history, outward, work, pairs, middle)
    _clear(candidates, open_c, inward, work)
    for h in range(num_history):
        rest = remaining[h]
        h_bit = ONE << np.uint64(h)
        begin, end = outward.ptr[history[h]], outward.ptr[history[h] + 1]
        while rest != ZERO:
            c_bit = lowest(rest)
            rest ^= c_bit
            c = slot_of(c_bit)
            pair = c * num_history + h
            at = middle[pair]
            if at == num_nodes:
                continue
            remaining[h] ^= c_bit
            found[c] |= h_bit
            length[pair] = 4
            row = inward.first_node
            back = _first_with(row, inward.ptr[at], inward.ptr[at + 1], at_history, h_bit)
            pairs.first[pair] = outward.edge[find_place(outward.node, begin, end, row[back])]
            pairs.inner[pair, 0] = inward.first_edge[back]
            row = outward.first_node
            ahead = _first_with(row, outward.ptr[at], outward.ptr[at + 1], at_candidate, c_bit)
            pairs.inner[pair, 1] = outward.first_edge[ahead]
            pairs.last[pair] = row[ahead]
    for h in range(num_history):
        if history[h] >= 0:
            for place in range(outward.ptr[history[h]], outward.ptr[history[h] + 1]):
                at_history[outward.node[place]] = ZERO
    return touched
