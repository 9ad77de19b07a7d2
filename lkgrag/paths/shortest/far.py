"""The search for paths of five and more edges, for the pairs that have no shorter one.

The search starts from both ends and meets in the middle. For every number of steps, a node has one bit for
each history item that reaches it, and one for each candidate that it reaches. The two sides grow in turn, and
a pair is joined at the first node that has both bits. So a path of length 6 takes three steps from either side,
not six from one side.
"""

from __future__ import annotations

import numpy as np

from lkgrag.paths.shortest.bits import ONE, ZERO, find_place, lowest, slot_of
from lkgrag.utils.jit import compiled


@compiled(cache=True, nogil=True)
def _start(side, items, active, work):  # type: ignore[no-untyped-def]
    """Set the bits of the active slots at their own nodes; return the number of nodes."""
    bits, nodes, seen = work.bits, work.nodes, work.seen
    count = 0
    for slot in range(len(items)):
        bit = ONE << np.uint64(slot)
        if active & bit == ZERO:
            continue
        node = items[slot]
        if bits[side, 0, node] == ZERO:
            nodes[side, 0, count] = node
            count += 1
        bits[side, 0, node] |= bit
        seen[side, node] |= bit
    return count


@compiled(cache=True, nogil=True)
def _grow(side, step, count, active, rows, work):  # type: ignore[no-untyped-def]
    """Take one more step of a side for the active bits; return the numbers of nodes and of neighbours read."""
    bits, nodes, seen = work.bits, work.nodes, work.seen
    num_reached, touched = 0, 0
    here, reached, before_all = bits[side, step], bits[side, step + 1], seen[side]
    front, listed = nodes[side, step], nodes[side, step + 1]
    for place in range(count):
        node = front[place]
        bit = here[node] & active
        if bit == ZERO:
            continue
        touched += rows.ptr[node + 1] - rows.ptr[node]
        for edge in range(rows.ptr[node], rows.ptr[node + 1]):
            # There is no branch here, because a processor cannot predict which neighbours are new.
            other = rows.node[edge]
            before = reached[other]
            new = bit & ~before_all[other]
            reached[other] = before | new
            before_all[other] |= new
            listed[num_reached] = other
            num_reached += (before == ZERO) & (new != ZERO)
    return num_reached, touched


@compiled(cache=True, nogil=True)
def _meet(counts, reach, work, remaining, met):  # type: ignore[no-untyped-def]
    """Collect the nodes where an open pair meets, sorted, because the first one counts; return their number."""
    bits, nodes = work.bits, work.nodes
    # The nodes where the sides can meet are those of the side that has fewer.
    less = 0 if counts[0, reach[0]] <= counts[1, reach[1]] else 1
    open_h, open_c = ZERO, ZERO
    for h in range(len(remaining)):
        if remaining[h] != ZERO:
            open_h |= ONE << np.uint64(h)
            open_c |= remaining[h]
    number = 0
    ours, theirs = bits[0, reach[0]], bits[1, reach[1]]
    listed = nodes[less, reach[less]]
    for place in range(counts[less, reach[less]]):
        node = listed[place]
        here, there = ours[node] & open_h, theirs[node] & open_c
        if there == ZERO:
            continue
        while here != ZERO:
            h_bit = lowest(here)
            here ^= h_bit
            if remaining[slot_of(h_bit)] & there != ZERO:
                met[number] = node
                number += 1
                break
    met[:number].sort()
    return number


@compiled(cache=True, nogil=True)
def _walk(side, node, steps, bit, rows, work, edges):  # type: ignore[no-untyped-def]
    """Walk from a middle node towards a slot's item, up to the node beside it; return that node.

    The edges are written in the order of the walk.
    """
    bits = work.bits
    for left in range(steps - 1, 0, -1):
        for place in range(rows.ptr[node], rows.ptr[node + 1]):
            if bits[side, left, rows.first_node[place]] & bit != ZERO:
                edges[steps - 1 - left] = rows.first_edge[place]
                node = rows.first_node[place]
                break
    return node


@compiled(cache=True, nogil=True)
def _join(history, middle, reach, tables, work, pairs):  # type: ignore[no-untyped-def]
    """Join the open pairs that meet at a node; return the number of history slots without open pairs now."""
    outward, inward = tables
    remaining, found, length = pairs.remaining, pairs.found, pairs.length
    first, final, inner = pairs.first, pairs.last, pairs.inner
    steps = work.bits.shape[1] - 1
    back, ahead = np.zeros(steps, np.int64), np.zeros((len(found), steps), np.int64)
    last = np.zeros(len(found), np.int64)
    num_history, done = len(history), 0
    here, there = work.bits[0, reach[0], middle], work.bits[1, reach[1], middle]
    walked = ZERO
    while here != ZERO:
        h_bit = lowest(here)
        here ^= h_bit
        h = slot_of(h_bit)
        joined = remaining[h] & there
        if joined == ZERO:
            continue
        remaining[h] ^= joined
        done += remaining[h] == ZERO
        # The way back to the history item is the same for all candidates.
        node = _walk(0, middle, reach[0], h_bit, inward, work, back)
        begin, end = outward.ptr[history[h]], outward.ptr[history[h] + 1]
        edge = outward.edge[find_place(outward.node, begin, end, node)]
        while joined != ZERO:
            c_bit = lowest(joined)
            joined ^= c_bit
            c = slot_of(c_bit)
            if walked & c_bit == ZERO:
                # The way to the candidate is the same for all history items.
                walked |= c_bit
                last[c] = _walk(1, middle, reach[1], c_bit, outward, work, ahead[c])
            found[c] |= h_bit
            pair = c * num_history + h
            length[pair], first[pair], final[pair] = reach[0] + reach[1], edge, last[c]
            for k in range(reach[0] - 1):
                inner[pair, reach[0] - 2 - k] = back[k]
            for k in range(reach[1] - 1):
                inner[pair, reach[0] - 1 + k] = ahead[c, k]
    return done


@compiled(cache=True, nogil=True)
def join_far(history, candidates, tables, longest, work, pairs):  # type: ignore[no-untyped-def]
    """Join the pairs that are still open, all of which are more than four edges apart.

    Returns:
        The number of neighbours read, and whether ``work`` has enough steps. If it has not, the pairs are
        not complete.
    """
    outward, inward = tables
    bits, nodes, seen = work.bits, work.nodes, work.seen
    remaining = pairs.remaining
    steps = bits.shape[1] - 1
    counts, reach = np.zeros((2, steps + 1), np.int64), np.zeros(2, np.int64)
    met = np.zeros(bits.shape[2], np.int32)
    touched, left, is_enough, length = 0, 0, True, 0
    open_h, open_c = ZERO, ZERO
    for h in range(len(history)):
        if remaining[h] != ZERO:
            open_h |= ONE << np.uint64(h)
            open_c |= remaining[h]
            left += 1
    counts[0, 0] = _start(0, history, open_h, work)
    counts[1, 0] = _start(1, candidates, open_c, work)
    while left > 0 and (longest == 0 or length < longest):
        length += 1
        side = length % 2
        step = reach[side]
        if step >= steps:
            is_enough = False
            break
        # Slots whose pairs are all joined take no further step.
        active = ZERO
        for h in range(len(history)):
            if remaining[h] != ZERO:
                active |= remaining[h] if side == 1 else ONE << np.uint64(h)
        counts[side, step + 1], more = _grow(
            side, step, counts[side, step], active, inward if side == 1 else outward, work
        )
        touched += more
        reach[side] = step + 1
        if counts[side, step + 1] == 0:
            break
        if length > 4:
            for place in range(_meet(counts, reach, work, remaining, met)):
                left -= _join(history, met[place], reach, tables, work, pairs)
    for side in range(2):
        is_swept = False
        for step in range(reach[side] + 1):
            if counts[side, step] > bits.shape[2] // 8:
                # For a large part of the graph, it is faster to clear the whole array.
                bits[side, step, :] = ZERO
                is_swept = True
                continue
            for place in range(counts[side, step]):
                node = nodes[side, step, place]
                bits[side, step, node] = ZERO
                seen[side, node] = ZERO
        if is_swept:
            seen[side, :] = ZERO
    return touched, is_enough
