"""The arrays that the search for shortest paths works on: edges, scratch space, a buffer for the paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Number of slots on either side in one pass; each slot is a bit.
BITS = 64
#: Number of steps from either side that the scratch arrays are first allocated for.
STEPS = 6


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
    """Arrays that the search writes to; all of them are 0 before and after.

    Attributes:
        bits: uint64 ``[2, steps + 1, V]``, the bits of either side by (step, node).
        nodes: int32 ``[2, steps + 1, V + 1]``, the nodes by (step, place).
        seen: uint64 ``[2, V]``, the bits of all steps so far.
    """

    bits: NDArray[np.uint64]
    nodes: NDArray[np.int32]
    seen: NDArray[np.uint64]


class PathBuffer(NamedTuple):
    """Arrays that the search writes its paths to.

    Attributes:
        ends: int64 ``[N, 3]``, (prompt, candidate slot, history slot) of each path.
        indptr: int64 ``[N + 1]``, where each path's edges begin.
        chain: int64 ``[M]``, edges from history item to candidate, as places in the order by source.
    """

    ends: NDArray[np.int64]
    indptr: NDArray[np.int64]
    chain: NDArray[np.int64]


def new_scratch(num_nodes: int, steps: int = STEPS) -> Scratch:
    """Allocate scratch arrays for a number of nodes; pages that are never touched take no memory."""
    bits = np.zeros((2, steps + 1, num_nodes), np.uint64)
    # The search writes to the place after the last node before it knows whether that node counts.
    nodes = np.zeros((2, steps + 1, num_nodes + 1), np.int32)
    return Scratch(bits, nodes, np.zeros((2, num_nodes), np.uint64))
