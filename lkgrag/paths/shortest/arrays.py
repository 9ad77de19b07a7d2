"""The arrays that the search for shortest paths works on: edges, scratch space, a buffer for the paths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

#: Number of slots on either side in one pass; each slot is a bit.
BITS = 64
#: Number of steps from either side that the scratch arrays are first allocated for.
STEPS = 6
#: Words of the filter, 8 KiB in all, so that it stays in the first level of the processor's cache.
FILTER = 1024


class Rows(NamedTuple):
    """The neighbours of every node in one direction, each once; ``V`` nodes, ``N`` neighbours in all.

    Of several edges to the same neighbour, the one of the first edge type stands here.

    Attributes:
        ptr: int64 ``[V + 1]``, where each node's neighbours begin.
        node: int32 ``[N]``, the neighbours, rising within a row.
        edge: int32 or int64 ``[N]``, their edges, as places in the finder's tables.
        first_node: int32 ``[N]``, the same neighbours by (edge type, neighbour).
        first_edge: like ``edge``, of ``first_node``.
    """

    ptr: NDArray[np.int64]
    node: NDArray[np.int32]
    edge: NDArray[np.integer]
    first_node: NDArray[np.int32]
    first_edge: NDArray[np.integer]


class Scratch(NamedTuple):
    """Arrays that the search writes to; all of them are 0 before and after.

    Attributes:
        near: uint64 ``[2, V]``, the bits of the history items at or one step from a node, and of the
            candidates one step from it.
        twice: uint64 ``[V]``, the bits of the candidates two steps from a node.
        marks: uint64 ``[V / 64 + 1]``, a bit for each node.
        groups: uint64 ``[V / 4096 + 1]``, a bit for each word of ``marks`` that is not 0.
        filter: uint64 ``[FILTER]``, a bit for all nodes with the same lowest digits.
        bits: uint64 ``[2, steps + 1, V]``, the bits of either side by (step, node).
        nodes: int32 ``[2, steps + 1, V + 1]``, the nodes by (step, place).
        seen: uint64 ``[2, V]``, the bits of all steps so far.
    """

    near: NDArray[np.uint64]
    twice: NDArray[np.uint64]
    marks: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    filter: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    nodes: NDArray[np.int32]
    seen: NDArray[np.uint64]


class Pairs(NamedTuple):
    """The pairs of one prompt: which are open, and the paths of the others.

    Attributes:
        remaining: uint64 ``[H]``, the candidates of each history slot's open pairs.
        found: uint64 ``[C]``, the history slots of each candidate's joined pairs.
        length: int32 ``[C * H]``, number of edges of a joined pair's path; other pairs' are not valid.
        first: int32 or int64 ``[C * H]``, the first edge of a joined pair's path.
        last: int32 ``[C * H]``, the last inner node of a joined pair's path of two or more edges.
        inner: like ``first``, ``[C * H, 2 * steps]``, the edges between inner nodes.
    """

    remaining: NDArray[np.uint64]
    found: NDArray[np.uint64]
    length: NDArray[np.int32]
    first: NDArray[np.integer]
    last: NDArray[np.int32]
    inner: NDArray[np.integer]


class PathBuffer(NamedTuple):
    """Arrays that the search writes its paths to.

    Attributes:
        ends: int32 ``[N, 3]``, (prompt, candidate slot, history slot) of each path.
        length: int32 ``[N]``, number of edges of each path.
        chain: int32 or int64 ``[M]``, edges from history item to candidate, as places in the finder's
            tables, path by path.
        offset: int32 ``[3]``, added to each row of ``ends``.
    """

    ends: NDArray[np.int32]
    length: NDArray[np.int32]
    chain: NDArray[np.integer]
    offset: NDArray[np.int32]


def sorted_order(
    columns: Sequence[NDArray[np.integer]], sizes: tuple[int, ...]
) -> NDArray[np.int64]:
    """Sort rows of different numbers by the first column, then the second, and so on.

    Args:
        columns: ``[N]`` each, from 0 on.
        sizes: above the largest number of each column.

    Returns:
        The order, int64 ``[N]``.
    """
    if math.prod(max(size, 1) for size in sizes) >= 2**63:
        return np.lexsort(tuple(columns)[::-1])
    # One number for a row: a single sort is several times as fast as one for each column.
    key = np.zeros(len(columns[0]), np.int64)
    for column, size in zip(columns, sizes, strict=True):
        key *= size
        key += column
    return np.argsort(key)


def inner_nodes(
    source: NDArray[np.int32], target: NDArray[np.int32], num_nodes: int
) -> NDArray[np.bool_]:
    """Mark the nodes that a path may lead through, bool ``[V]``.

    Such a node can be entered and left, and has at least two different neighbours.

    Args:
        source: int32 ``[E]``, of each edge.
        target: int32 ``[E]``.
        num_nodes: ``V``.
    """
    least = np.full(num_nodes, num_nodes, np.int32)
    most = np.full(num_nodes, -1, np.int32)
    for node, other in ((source, target), (target, source)):
        np.minimum.at(least, node, other)
        np.maximum.at(most, node, other)
    ends = np.zeros((2, num_nodes), bool)
    ends[0, source] = ends[1, target] = True
    marked: NDArray[np.bool_] = ends.all(0) & (least < most)
    return marked


def neighbour_rows(
    node: NDArray[np.int32],
    kind: NDArray[np.int32],
    other: NDArray[np.int32],
    edge: NDArray[np.integer],
    num_nodes: int,
) -> Rows:
    """List the neighbours of every node.

    Args:
        node: int32 ``[E]``, the end of each edge whose row it is in.
        kind: int32 ``[E]``, edge types.
        other: int32 ``[E]``, the other end.
        edge: ``[E]``, places of the edges.
        num_nodes: ``V``.
    """
    num_kinds = int(kind.max(initial=0)) + 1
    order = sorted_order((node, other, kind), (num_nodes, num_nodes, num_kinds))
    node, kind, other, edge = node[order], kind[order], other[order], edge[order]
    is_first = np.ones(len(node), bool)
    is_first[1:] = (node[1:] != node[:-1]) | (other[1:] != other[:-1])
    node, kind, edge = node[is_first], kind[is_first], edge[is_first]
    neighbour = other[is_first]
    del order, other
    by_kind = sorted_order((node, kind, neighbour), (num_nodes, num_kinds, num_nodes))
    ptr = np.searchsorted(node, np.arange(num_nodes + 1, dtype=np.int32))
    return Rows(ptr, neighbour, edge, neighbour[by_kind], edge[by_kind])


def new_scratch(num_nodes: int, steps: int = STEPS) -> Scratch:
    """Allocate scratch arrays for a number of nodes; pages that are never touched take no memory."""
    return Scratch(
        near=np.zeros((2, num_nodes), np.uint64),
        twice=np.zeros(num_nodes, np.uint64),
        marks=np.zeros(num_nodes // 64 + 1, np.uint64),
        groups=np.zeros(num_nodes // 4096 + 1, np.uint64),
        filter=np.zeros(FILTER, np.uint64),
        bits=np.zeros((2, steps + 1, num_nodes), np.uint64),
        # The search writes to the place after the last node before it knows whether that node counts.
        nodes=np.zeros((2, steps + 1, num_nodes + 1), np.int32),
        seen=np.zeros((2, num_nodes), np.uint64),
    )


def new_pairs(num_history: int, num_candidates: int, steps: int, kind: DTypeLike) -> Pairs:
    """Allocate the arrays of a prompt's pairs; ``kind`` is the dtype of edges."""
    size = num_history * num_candidates
    return Pairs(
        remaining=np.zeros(num_history, np.uint64),
        found=np.zeros(num_candidates, np.uint64),
        length=np.zeros(size, np.int32),
        first=np.zeros(size, kind),
        last=np.zeros(size, np.int32),
        inner=np.zeros((size, 2 * steps), kind),
    )
