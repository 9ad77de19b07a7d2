"""The inner loop of the search for shortest paths, compiled by numba where that is installed.

A search meets in the middle. Every node carries a bit for each history item that reaches it in exactly
so many steps, and one for each candidate that it reaches; the two sides grow in turns, and a pair is
joined at the first node that both meet at. So a path of length 4 costs two steps from either side, not
four from one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lkgrag.utils.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Slots that one pass carries on either side, a bit each.
BITS = 64
#: Steps from either side that the scratch arrays have room for at first.
STEPS = 6

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
#: A bit's place without a loop: the top six bits of its product with a de Bruijn sequence.
_BRUIJN, _SHIFT = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
SLOT_OF = np.zeros(BITS, np.int64)
SLOT_OF[[(2**slot * int(_BRUIJN) % 2**64) >> 58 for slot in range(BITS)]] = np.arange(BITS)


class EdgeTables(NamedTuple):
    """The edges of a graph in three orders; ``V`` nodes, ``E`` edges.

    Attributes:
        out_ptr: int64 ``[V + 1]``, edges by source, sorted by (type, target) within it.
        out_type: int32 ``[E]``.
        out_node: int32 ``[E]``, targets.
        in_ptr: int64 ``[V + 1]``, edges by target, sorted by (type, source) within it.
        in_type: int32 ``[E]``.
        in_node: int32 ``[E]``, sources.
        in_edge: int64 ``[E]``, the same edges as places in the order by source.
        pair_node: int32 ``[E]``, sources of the edges by (target, source, type).
        pair_edge: int64 ``[E]``, these edges as places in the order by source.
    """

    out_ptr: NDArray[np.int64]
    out_type: NDArray[np.int32]
    out_node: NDArray[np.int32]
    in_ptr: NDArray[np.int64]
    in_type: NDArray[np.int32]
    in_node: NDArray[np.int32]
    in_edge: NDArray[np.int64]
    pair_node: NDArray[np.int32]
    pair_edge: NDArray[np.int64]


class Scratch(NamedTuple):
    """Arrays that :func:`search` works in; all 0 before and after.

    Attributes:
        bits: uint64 ``[2, steps + 1, V]``, the bits of either side by (step, node).
        nodes: int32 ``[2, steps + 1, V + 1]``, the nodes by (step, place).
        seen: uint64 ``[2, V]``, the bits seen.
    """

    bits: NDArray[np.uint64]
    nodes: NDArray[np.int32]
    seen: NDArray[np.uint64]


class PathRoom(NamedTuple):
    """Room for the paths that :func:`search` finds.

    Attributes:
        ends: int64 ``[N, 3]``, (prompt, candidate slot, history slot) of each path.
        indptr: int64 ``[N + 1]``, where each path's edges begin.
        chain: int64 ``[M]``, edges, by source, from history item to candidate.
    """

    ends: NDArray[np.int64]
    indptr: NDArray[np.int64]
    chain: NDArray[np.int64]


def scratch(num_nodes: int, steps: int = STEPS) -> Scratch:
    """Arrays to work in, for so many nodes; untouched pages of them take no memory."""
    bits = np.zeros((2, steps + 1, num_nodes), np.uint64)
    # One more place, which may be written to before it is known whether it counts.
    nodes = np.zeros((2, steps + 1, num_nodes + 1), np.int32)
    return Scratch(bits, nodes, np.zeros((2, num_nodes), np.uint64))


@compiled(cache=True, nogil=True)
def _grow(side, step, count, active, indptr, neighbour, work):  # type: ignore[no-untyped-def]
    """One more step of a side for the active bits; how many nodes it reaches, and edges touched."""
    bits, nodes, seen = work.bits, work.nodes, work.seen
    found, touched = 0, 0
    here, reached, before_all = bits[side, step], bits[side, step + 1], seen[side]
    front, listed = nodes[side, step], nodes[side, step + 1]
    for place in range(count):
        node = front[place]
        bit = here[node] & active
        if bit == _ZERO:
            continue
        touched += indptr[node + 1] - indptr[node]
        for edge in range(indptr[node], indptr[node + 1]):
            # No branch: which neighbours are new is nothing a processor can guess.
            other = neighbour[edge]
            before = reached[other]
            new = bit & ~before_all[other]
            reached[other] = before | new
            before_all[other] |= new
            listed[found] = other
            found += (before == _ZERO) & (new != _ZERO)
    return found, touched


@compiled(cache=True, nogil=True)
def _between(source, target, in_ptr, pair_node, pair_edge):  # type: ignore[no-untyped-def]
    """The edge between two neighbours, of the first type that there is; by bisection."""
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
    """One shortest path for every pair of each prompt.

    Args:
        history: int64 ``[B, H]``, nodes, -1 padding; ``H`` at most 64.
        candidates: int64 ``[B, C]``, likewise.
        tables: :class:`EdgeTables` of the graph.
        longest: most edges of a path; 0 for no bound.
        work: of :func:`scratch`.
        room: :class:`PathRoom` for the paths.

    Returns:
        Paths found, edges touched by the search, and 0; or, if the room was too small, 1 for more steps and 2
        for more room in ``chain``: the paths of whole prompts before it stand.
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
    # The paths of one prompt by pair, until they are told in the order of the pairs.
    way = np.zeros((num_candidates * num_history, 2 * steps), np.int64)
    lengths = np.zeros(num_candidates * num_history, np.int64)
    met = np.zeros(bits.shape[2], np.int32)
    way_h = np.zeros(steps, np.int64)
    way_c = np.zeros((num_candidates, steps), np.int64)
    slot_of = SLOT_OF
    reach = np.zeros(2, np.int64)
    found, touched = 0, 0
    for prompt in range(history.shape[0]):
        first, problem = found, 0
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
                # A pair of equal items has no path.
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
            # Slots whose pairs are all joined need no further step.
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
            # The side that is at fewer nodes tells where to look.
            less = 0 if counts[0, reach[0]] <= counts[1, reach[1]] else 1
            open_h, open_c = _ZERO, _ZERO
            for h in range(num_history):
                if remaining[h] != _ZERO:
                    open_h |= _ONE << np.uint64(h)
                    open_c |= remaining[h]
            # The nodes where an open pair meets; by node, since the first one counts.
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
                    # From the middle back to the history item: the same way for all candidates.
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
                            # From the middle to the candidate: the same way for all history items.
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
                begin = indptr[found]
                if begin + length > len(chain):
                    problem = 2
                    break
                for k in range(length):
                    chain[begin + k] = way[pair, k]
                ends[found, 0] = prompt
                ends[found, 1], ends[found, 2] = pair // num_history, pair % num_history
                indptr[found + 1] = begin + length
                found += 1
        for side in range(2):
            whole = False
            for step in range(reach[side] + 1):
                if counts[side, step] > bits.shape[2] // 8:
                    # Most of the graph: clearing all of it in one sweep is quicker.
                    bits[side, step, :] = _ZERO
                    whole = True
                    continue
                for place in range(counts[side, step]):
                    node = nodes[side, step, place]
                    bits[side, step, node] = _ZERO
                    seen[side, node] = _ZERO
            if whole:
                seen[side, :] = _ZERO
        if problem:
            # What was written of this prompt does not stand.
            return first, touched, problem
    return found, touched, 0
