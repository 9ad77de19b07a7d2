"""The inner loop of the search for shortest paths, compiled by numba where it is available.

The search starts from both ends and meets in the middle. For every number of steps, a node has one bit for
each history item that reaches it, and one for each candidate that it reaches. The two sides grow in turn, and
a pair is joined at the first node that has both bits. So a path of length 4 takes two steps from either side,
not four from one side.
"""

from __future__ import annotations

import numpy as np

from lkgrag.paths.shortest.arrays import BITS
from lkgrag.utils.jit import compiled

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
#: The place of a bit is the top six bits of its product with this de Bruijn sequence, so no loop is needed.
_BRUIJN, _SHIFT = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
SLOT_OF = np.zeros(BITS, np.int64)
SLOT_OF[[(2**slot * int(_BRUIJN) % 2**64) >> 58 for slot in range(BITS)]] = np.arange(BITS)


@compiled(cache=True, nogil=True)
def _grow(side, step, count, active, indptr, neighbour, work):  # type: ignore[no-untyped-def]
    """Take one more step of a side for the active bits; return the numbers of nodes and of edges read."""
    bits, nodes, seen = work.bits, work.nodes, work.seen
    num_reached, touched = 0, 0
    here, reached, before_all = bits[side, step], bits[side, step + 1], seen[side]
    front, listed = nodes[side, step], nodes[side, step + 1]
    for place in range(count):
        node = front[place]
        bit = here[node] & active
        if bit == _ZERO:
            continue
        touched += indptr[node + 1] - indptr[node]
        for edge in range(indptr[node], indptr[node + 1]):
            # There is no branch here, because a processor cannot predict which neighbours are new.
            other = neighbour[edge]
            before = reached[other]
            new = bit & ~before_all[other]
            reached[other] = before | new
            before_all[other] |= new
            listed[num_reached] = other
            num_reached += (before == _ZERO) & (new != _ZERO)
    return num_reached, touched


@compiled(cache=True, nogil=True)
def _between(source, target, in_ptr, pair_node, pair_edge):  # type: ignore[no-untyped-def]
    """Find the edge of the first edge type between two neighbours, by bisection."""
    low, high = in_ptr[target], in_ptr[target + 1]
    while low < high:
        middle = (low + high) // 2
        if pair_node[middle] < source:
            low = middle + 1
        else:
            high = middle
    return pair_edge[low]


@compiled(cache=True, nogil=True)
def search(history, candidates, tables, longest, work, room):  # type: ignore[no-untyped-def]
    """Find one shortest path for every pair of each prompt.

    Args:
        history: int64 ``[B, H]``, nodes, -1 padding; ``H`` is at most 64.
        candidates: int64 ``[B, C]``, nodes, -1 padding; ``C`` is at most 64.
        tables: :class:`EdgeTables` of the graph.
        longest: largest number of edges of a path; 0 for no limit.
        work: :class:`Scratch` arrays.
        room: :class:`PathBuffer` for the paths.

    Returns:
        The number of paths, the number of edges read, and 0. The last value is 1 if ``work`` has too few
        steps, and 2 if ``chain`` is too short. The paths of the prompts before that one are then valid.
    """
    out_ptr, out_node = tables.out_ptr, tables.out_node
    in_ptr, in_node, in_edge = tables.in_ptr, tables.in_node, tables.in_edge
    pair_node, pair_edge = tables.pair_node, tables.pair_edge
    bits, nodes, seen = work.bits, work.nodes, work.seen
    ends, indptr, chain = room.ends, room.indptr, room.chain
    steps = bits.shape[1] - 1
    num_history, num_candidates = history.shape[1], candidates.shape[1]
    counts = np.zeros((2, steps + 1), np.int64)
    remaining = np.zeros(history.shape[1], np.uint64)
    # The paths of one prompt by pair, before they are written in the order of the pairs.
    way = np.zeros((num_candidates * num_history, 2 * steps), np.int64)
    lengths = np.zeros(num_candidates * num_history, np.int64)
    met = np.zeros(bits.shape[2], np.int32)
    way_h = np.zeros(steps, np.int64)
    way_c = np.zeros((num_candidates, steps), np.int64)
    slot_of = SLOT_OF
    reach = np.zeros(2, np.int64)
    num_paths, touched = 0, 0
    for prompt in range(history.shape[0]):
        first, problem = num_paths, 0
        lengths[:] = 0
        wanted = _ZERO
        counts[:] = 0
        for slot in range(num_candidates):
            node = candidates[prompt, slot]
            if node >= 0:
                bit = _ONE << np.uint64(slot)
                wanted |= bit
                if bits[1, 0, node] == _ZERO:
                    nodes[1, 0, counts[1, 0]] = node
                    counts[1, 0] += 1
                bits[1, 0, node] |= bit
                seen[1, node] |= bit
        left = 0
        for slot in range(num_history):
            node = history[prompt, slot]
            remaining[slot] = _ZERO
            if node >= 0:
                bit = _ONE << np.uint64(slot)
                if bits[0, 0, node] == _ZERO:
                    nodes[0, 0, counts[0, 0]] = node
                    counts[0, 0] += 1
                bits[0, 0, node] |= bit
                seen[0, node] |= bit
                # A pair of equal items gets no path.
                remaining[slot] = wanted & ~bits[1, 0, node]
                if remaining[slot] != _ZERO:
                    left += 1
        reach[:] = 0
        length = 0
        while left > 0 and (longest == 0 or length < longest):
            length += 1
            side = length % 2
            step = reach[side]
            if step >= steps:
                problem = 1
                break
            # Slots whose pairs are all joined take no further step.
            active = _ZERO
            for h in range(num_history):
                if remaining[h] != _ZERO:
                    active |= remaining[h] if side == 1 else _ONE << np.uint64(h)
            counts[side, step + 1], more = _grow(
                side,
                step,
                counts[side, step],
                active,
                in_ptr if side == 1 else out_ptr,
                in_node if side == 1 else out_node,
                work,
            )
            touched += more
            reach[side] = step + 1
            if counts[side, step + 1] == 0:
                break
            # The nodes where the sides can meet are those of the side that has fewer.
            less = 0 if counts[0, reach[0]] <= counts[1, reach[1]] else 1
            open_h, open_c = _ZERO, _ZERO
            for h in range(num_history):
                if remaining[h] != _ZERO:
                    open_h |= _ONE << np.uint64(h)
                    open_c |= remaining[h]
            # Collect the nodes where an open pair meets, and sort them, because the first one counts.
            number = 0
            ours, theirs = bits[0, reach[0]], bits[1, reach[1]]
            listed = nodes[less, reach[less]]
            for place in range(counts[less, reach[less]]):
                node = listed[place]
                here, there = ours[node] & open_h, theirs[node] & open_c
                if there == _ZERO:
                    continue
                while here != _ZERO:
                    h_bit = here & (~here + _ONE)
                    here ^= h_bit
                    if remaining[slot_of[(h_bit * _BRUIJN) >> _SHIFT]] & there != _ZERO:
                        met[number] = node
                        number += 1
                        break
            met[:number].sort()
            for place in range(number):
                middle = met[place]
                here, there = ours[middle] & open_h, theirs[middle]
                walked = _ZERO
                while here != _ZERO:
                    h_bit = here & (~here + _ONE)
                    here ^= h_bit
                    h = slot_of[(h_bit * _BRUIJN) >> _SHIFT]
                    pairs = remaining[h] & there
                    if pairs == _ZERO:
                        continue
                    remaining[h] &= ~pairs
                    if remaining[h] == _ZERO:
                        left -= 1
                        open_h ^= h_bit
                    # Walk from the middle back to the history item; the way is the same for all candidates.
                    node = middle
                    for back in range(reach[0], 0, -1):
                        if back == 1:
                            start = history[prompt, h]
                            way_h[0] = _between(start, node, in_ptr, pair_node, pair_edge)
                            break
                        for edge in range(in_ptr[node], in_ptr[node + 1]):
                            if bits[0, back - 1, in_node[edge]] & h_bit != _ZERO:
                                way_h[back - 1] = in_edge[edge]
                                node = in_node[edge]
                                break
                    while pairs != _ZERO:
                        c_bit = pairs & (~pairs + _ONE)
                        pairs ^= c_bit
                        c = slot_of[(c_bit * _BRUIJN) >> _SHIFT]
                        if walked & c_bit == _ZERO:
                            # Walk from the middle to the candidate; the way is the same for all history
                            # items.
                            walked |= c_bit
                            node = middle
                            for ahead in range(reach[1], 0, -1):
                                at = reach[1] - ahead
                                if ahead == 1:
                                    end = candidates[prompt, c]
                                    way_c[c, at] = _between(node, end, in_ptr, pair_node, pair_edge)
                                    break
                                for edge in range(out_ptr[node], out_ptr[node + 1]):
                                    if bits[1, ahead - 1, out_node[edge]] & c_bit != _ZERO:
                                        way_c[c, at] = edge
                                        node = out_node[edge]
                                        break
                        pair = c * num_history + h
                        lengths[pair] = length
                        for k in range(reach[0]):
                            way[pair, k] = way_h[k]
                        for k in range(reach[1]):
                            way[pair, reach[0] + k] = way_c[c, k]
        if problem == 0:
            for pair in range(num_candidates * num_history):
                length = lengths[pair]
                if length == 0:
                    continue
                begin = indptr[num_paths]
                if begin + length > len(chain):
                    problem = 2
                    break
                for k in range(length):
                    chain[begin + k] = way[pair, k]
                ends[num_paths, 0] = prompt
                ends[num_paths, 1], ends[num_paths, 2] = pair // num_history, pair % num_history
                indptr[num_paths + 1] = begin + length
                num_paths += 1
        for side in range(2):
            is_swept = False
            for step in range(reach[side] + 1):
                if counts[side, step] > bits.shape[2] // 8:
                    # For a large part of the graph, it is faster to clear the whole array.
                    bits[side, step, :] = _ZERO
                    is_swept = True
                    continue
                for place in range(counts[side, step]):
                    node = nodes[side, step, place]
                    bits[side, step, node] = _ZERO
                    seen[side, node] = _ZERO
            if is_swept:
                seen[side, :] = _ZERO
        if problem:
            # The paths of this prompt are not complete, so they do not count.
            return first, touched, problem
    return num_paths, touched, 0
