"""The search for paths of one, two and three edges, which most pairs have.

These lengths need no list of reached nodes. Every node has a bit for each candidate that it has an edge to. The
rows of the history items are in the order of preference, so the first node with the right bit is the middle of the
path. A history item reads no further once all its pairs are joined.
"""

from __future__ import annotations

import numpy as np

from lkgrag.paths.shortest.arrays import FILTER
from lkgrag.paths.shortest.bits import AHEAD, ONE, ZERO, find_place, lowest, slot_of
from lkgrag.utils.jit import compiled, prefetch


@compiled(cache=True, nogil=True)
def join_one(history, candidates, inward, work, pairs):  # type: ignore[no-untyped-def]
    """Join the pairs that have an edge, and set the candidates' bits; return the number of neighbours read."""
    at_history, at_candidate = work.near[0], work.near[1]
    remaining, found, length = pairs.remaining, pairs.found, pairs.length
    first = pairs.first
    num_history, touched = len(history), 0
    for h in range(num_history):
        if history[h] >= 0:
            at_history[history[h]] |= ONE << np.uint64(h)
    for c in range(len(candidates)):
        if candidates[c] < 0:
            continue
        bit = ONE << np.uint64(c)
        begin, end = inward.ptr[candidates[c]], inward.ptr[candidates[c] + 1]
        touched += end - begin
        for place in range(begin, end):
            node = inward.node[place]
            at_candidate[node] |= bit
            here = at_history[node]
            while here != ZERO:
                h_bit = lowest(here)
                here ^= h_bit
                h = slot_of(h_bit)
                if remaining[h] & bit != ZERO:
                    remaining[h] ^= bit
                    found[c] |= h_bit
                    length[c * num_history + h] = 1
                    first[c * num_history + h] = inward.edge[place]
    for h in range(num_history):
        if history[h] >= 0:
            at_history[history[h]] = ZERO
    return touched


@compiled(cache=True, nogil=True)
def join_two(history, outward, work, pairs):  # type: ignore[no-untyped-def]
    """Join the open pairs that have a node between them; return the number of neighbours read."""
    at_candidate = work.near[1]
    remaining, found, length = pairs.remaining, pairs.found, pairs.length
    first, last = pairs.first, pairs.last
    num_history, touched = len(history), 0
    for h in range(num_history):
        wanted = remaining[h]
        if wanted == ZERO:
            continue
        h_bit = ONE << np.uint64(h)
        begin, end = outward.ptr[history[h]], outward.ptr[history[h] + 1]
        place = begin
        while place < end and wanted != ZERO:
            middle = outward.node[place]
            joined = at_candidate[middle] & wanted
            if joined != ZERO:
                wanted ^= joined
                edge = outward.edge[place]
                while joined != ZERO:
                    c_bit = lowest(joined)
                    joined ^= c_bit
                    c = slot_of(c_bit)
                    found[c] |= h_bit
                    pair = c * num_history + h
                    length[pair], first[pair], last[pair] = 2, edge, middle
            place += 1
        touched += place - begin
        remaining[h] = wanted
    return touched


@compiled(cache=True, nogil=True)
def _mark(history, candidates, tables, work, pairs):  # type: ignore[no-untyped-def]
    """Mark the neighbours of the open history items, and filter those of the open candidates.

    Returns:
        The number of neighbours read.
    """
    outward, inward = tables
    at_history, marks, groups, rough = work.near[0], work.marks, work.groups, work.filter
    remaining = pairs.remaining
    touched, open_c = 0, ZERO
    for h in range(len(history)):
        if remaining[h] == ZERO:
            continue
        open_c |= remaining[h]
        h_bit = ONE << np.uint64(h)
        begin, end = outward.ptr[history[h]], outward.ptr[history[h] + 1]
        touched += end - begin
        for place in range(begin, end):
            node = outward.node[place]
            at_history[node] |= h_bit
            marks[node >> 6] |= ONE << np.uint64(node & 63)
            groups[node >> 12] |= ONE << np.uint64((node >> 6) & 63)
    for c in range(len(candidates)):
        if (open_c >> np.uint64(c)) & ONE == ZERO:
            continue
        begin, end = inward.ptr[candidates[c]], inward.ptr[candidates[c] + 1]
        touched += end - begin
        for place in range(begin, end):
            node = inward.node[place]
            rough[(node >> 6) & (FILTER - 1)] |= ONE << np.uint64(node & 63)
    return touched


@compiled(cache=True, nogil=True)
def _list_marked(work):  # type: ignore[no-untyped-def]
    """List the marked nodes in rising order, and clear the marks; return the number of nodes."""
    marks, groups, listed = work.marks, work.groups, work.nodes[0, 0]
    count = 0
    for group in range(len(groups)):
        words = groups[group]
        groups[group] = ZERO
        while words != ZERO:
            word_bit = lowest(words)
            words ^= word_bit
            word = group * 64 + slot_of(word_bit)
            marked = marks[word]
            marks[word] = ZERO
            while marked != ZERO:
                node_bit = lowest(marked)
                marked ^= node_bit
                listed[count] = word * 64 + slot_of(node_bit)
                count += 1
    return count


@compiled(cache=True, nogil=True)
def _reach(middle, wanted, outward, work, through):  # type: ignore[no-untyped-def]
    """Find the first edge from a node towards each wanted candidate that is two steps away.

    Args:
        middle: the node.
        wanted: bits of candidates.
        outward: :class:`Rows` of the graph.
        work: :class:`Scratch` arrays.
        through: int64 ``[64]``, written with the place of each edge, by candidate.

    Returns:
        The bits of the candidates found, and the number of neighbours read.
    """
    at_candidate, rough = work.near[1], work.filter
    begin, end = outward.ptr[middle], outward.ptr[middle + 1]
    reached, place = ZERO, begin
    while place < end:
        node = outward.first_node[place]
        if (rough[(node >> 6) & (FILTER - 1)] >> np.uint64(node & 63)) & ONE != ZERO:
            new = at_candidate[node] & wanted
            if new != ZERO:
                wanted ^= new
                reached |= new
                while new != ZERO:
                    c_bit = lowest(new)
                    new ^= c_bit
                    through[slot_of(c_bit)] = place
                if wanted == ZERO:
                    break
        place += 1
    return reached, place - begin


@compiled(cache=True, nogil=True)
def join_three(history, candidates, tables, work, pairs):  # type: ignore[no-untyped-def]
    """Join the open pairs that have two nodes between them; return the number of neighbours read."""
    outward = tables[0]
    at_history, remaining, found = work.near[0], pairs.remaining, pairs.found
    num_history = len(history)
    touched = _mark(history, candidates, tables, work, pairs)
    through = np.zeros(64, np.int64)
    open_h = ZERO
    for h in range(num_history):
        if remaining[h] != ZERO:
            open_h |= ONE << np.uint64(h)
    # In rising order, since the first node counts.
    middles, count = work.nodes[0, 0], _list_marked(work)
    for number in range(count):
        prefetch(outward.ptr, middles[min(number + 2 * AHEAD, count - 1)])
        prefetch(outward.first_node, outward.ptr[middles[min(number + AHEAD, count - 1)]])
        middle = middles[number]
        here = at_history[middle] & open_h
        at_history[middle] = ZERO
        wanted, rest = ZERO, here
        while rest != ZERO:
            h_bit = lowest(rest)
            rest ^= h_bit
            wanted |= remaining[slot_of(h_bit)]
        if wanted == ZERO:
            continue
        reached, more = _reach(middle, wanted, outward, work, through)
        touched += more
        if reached == ZERO:
            continue
        while here != ZERO:
            h_bit = lowest(here)
            here ^= h_bit
            h = slot_of(h_bit)
            joined = remaining[h] & reached
            if joined == ZERO:
                continue
            remaining[h] ^= joined
            if remaining[h] == ZERO:
                open_h ^= h_bit
            begin, end = outward.ptr[history[h]], outward.ptr[history[h] + 1]
            edge = outward.edge[find_place(outward.node, begin, end, middle)]
            while joined != ZERO:
                c_bit = lowest(joined)
                joined ^= c_bit
                c = slot_of(c_bit)
                found[c] |= h_bit
                pair = c * num_history + h
                pairs.length[pair], pairs.first[pair] = 3, edge
                pairs.inner[pair, 0] = outward.first_edge[through[c]]
                pairs.last[pair] = outward.first_node[through[c]]
    work.filter[:] = ZERO
    return touched


@compiled(cache=True, nogil=True)
def clear_near(candidates, inward, work):  # type: ignore[no-untyped-def]
    """Clear the candidates' bits."""
    at_candidate = work.near[1]
    size = 0
    for c in range(len(candidates)):
        if candidates[c] >= 0:
            size += inward.ptr[candidates[c] + 1] - inward.ptr[candidates[c]]
    if 4 * size > len(at_candidate):
        # A small array is cleared faster as a whole.
        at_candidate[:] = ZERO
        return
    for c in range(len(candidates)):
        if candidates[c] >= 0:
            for place in range(inward.ptr[candidates[c]], inward.ptr[candidates[c] + 1]):
                at_candidate[inward.node[place]] = ZERO
