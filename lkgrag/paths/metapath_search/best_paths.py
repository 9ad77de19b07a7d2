"""The best instances of each pair while partial paths are joined, compiled by numba.

Most joined paths are worse than those that their pair has already. So each is compared as it is joined, and only the
best are written down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lkgrag.paths.adjacency import spread
from lkgrag.paths.metapath_search.two_edges import Instances
from lkgrag.utils.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Half(NamedTuple):
    """Partial paths from one end of a block of prompts.

    Attributes:
        slot: int64 ``[N]``, flat slot of the end in the block's history or candidates.
        nodes: int64 ``[N, k + 1]``, from the end to the middle.
        degree: int64 ``[N]``, largest degree of the inner nodes so far.
        weight: float64 ``[N]``, product of the weights so far.
        time: float64 ``[N]``, of the latest edge.
    """

    slot: NDArray[np.int64]
    nodes: NDArray[np.int64]
    degree: NDArray[np.int64]
    weight: NDArray[np.float64]
    time: NDArray[np.float64]

    def take(self, rows: NDArray) -> Half:
        """Select some of the rows."""
        return Half(*(column[rows] for column in self))


class Rows(NamedTuple):
    """The best instances of the pairs that have room for any, the best first.

    Attributes:
        of: int64 ``[P]``, the row of each pair; -1 without room.
        room: int64 ``[R]``, how many instances a row has at most.
        filled: int64 ``[R]``, how many it has.
        worst: int64 ``[R]``, degree of the last one of a row without room, and more than any degree before.
        degree: int64 ``[R, most]``, as of :class:`Instances`.
        metapath: int64 ``[R, most]``.
        nodes: int64 ``[R, most, L]``.
        weight: float64 ``[R, most]``.
    """

    of: NDArray[np.int64]
    room: NDArray[np.int64]
    filled: NDArray[np.int64]
    worst: NDArray[np.int64]
    degree: NDArray[np.int64]
    metapath: NDArray[np.int64]
    nodes: NDArray[np.int64]
    weight: NDArray[np.float64]


class BestPaths:
    """The best instances of each pair so far, all of one length: rarer ones first, then by meta-path and nodes.

    Args:
        room: int64 ``[P]``, how many instances a pair keeps at most; 0 for a pair that needs none.
        length: nodes of an instance.

    Attributes:
        rows: them.
    """

    def __init__(self, room: NDArray[np.int64], length: int) -> None:
        self._pair = np.flatnonzero(room > 0)
        number = len(self._pair)
        of = np.full(len(room), -1, np.int64)
        of[self._pair] = np.arange(number)
        shape = (number, int(room.max(initial=0)))
        # Memory that is never written takes no room.
        degree, metapath = np.empty(shape, np.int64), np.empty(shape, np.int64)
        nodes, weight = np.empty((*shape, length), np.int64), np.empty(shape)
        filled = np.zeros(number, np.int64)
        worst = np.full(number, np.iinfo(np.int64).max)
        self.rows = Rows(of, room[self._pair], filled, worst, degree, metapath, nodes, weight)

    def __len__(self) -> int:
        """Number of pairs that have room."""
        return len(self._pair)

    def offer(self, instances: Instances) -> None:
        """Give instances of this length that were found otherwise; none of a pair without room is kept."""
        x = instances
        insert_all(self.rows, x.pair, x.degree, x.metapath, x.nodes, x.weight)

    def instances(self, width: int) -> Instances:
        """All that is kept, sorted by pair.

        Args:
            width: columns of ``nodes``.
        """
        x = self.rows
        row, place = spread(np.zeros_like(x.filled), x.filled)
        nodes = np.full((len(row), width), -1, np.int64)
        nodes[:, : x.nodes.shape[2]] = x.nodes[row, place]
        return Instances(
            self._pair[row],
            x.metapath[row, place],
            x.degree[row, place],
            nodes,
            x.weight[row, place],
        )


@compiled(cache=True, nogil=True)
def is_better(kept, row, place, degree, metapath, nodes):  # type: ignore[no-untyped-def]
    """Whether an instance precedes the one at a place of a row, by the order of :class:`BestPaths`."""
    if degree != kept.degree[row, place]:
        return degree < kept.degree[row, place]
    if metapath != kept.metapath[row, place]:
        return metapath < kept.metapath[row, place]
    for i in range(len(nodes)):
        if nodes[i] != kept.nodes[row, place, i]:
            return nodes[i] < kept.nodes[row, place, i]
    return False


@compiled(cache=True, nogil=True)
def insert(kept, row, degree, metapath, nodes, weight):  # type: ignore[no-untyped-def]
    """Give an instance its place in a row, if it is good enough; the worst one goes if there is no room."""
    place = kept.filled[row]
    last = min(place, kept.room[row] - 1)
    while place > 0 and is_better(kept, row, place - 1, degree, metapath, nodes):
        place -= 1
    if place > last:
        return
    for k in range(last, place, -1):
        kept.degree[row, k] = kept.degree[row, k - 1]
        kept.metapath[row, k] = kept.metapath[row, k - 1]
        kept.weight[row, k] = kept.weight[row, k - 1]
        for i in range(len(nodes)):
            kept.nodes[row, k, i] = kept.nodes[row, k - 1, i]
    kept.degree[row, place], kept.metapath[row, place] = degree, metapath
    kept.weight[row, place] = weight
    for i in range(len(nodes)):
        kept.nodes[row, place, i] = nodes[i]
    kept.filled[row] = last + 1
    if last + 1 == kept.room[row]:
        kept.worst[row] = kept.degree[row, last]


@compiled(cache=True, nogil=True)
def insert_all(kept, pair, degree, metapath, nodes, weight):  # type: ignore[no-untyped-def]
    """:func:`insert` the columns of :class:`Instances` whose pairs have room."""
    length = kept.nodes.shape[2]
    for number in range(len(pair)):
        row = kept.of[pair[number]]
        if row >= 0:
            insert(
                kept, row, degree[number], metapath[number], nodes[number, :length], weight[number]
            )


@compiled(cache=True, nogil=True)
def order_within(pair, metapath, nodes, order):  # type: ignore[no-untyped-def]
    """Sort rows of equal pairs by meta-path, then nodes.

    Args:
        pair: int64 ``[P]``.
        metapath: int64 ``[P]``.
        nodes: int64 ``[P, L]``.
        order: int64 ``[P]``, rows by their pair; written.
    """
    for end in range(1, len(order)):
        row, place = order[end], end
        while place > 0:
            other = order[place - 1]
            if pair[other] != pair[row] or metapath[other] < metapath[row]:
                break
            if metapath[other] == metapath[row]:
                i = 0
                while i < nodes.shape[1] and nodes[other, i] == nodes[row, i]:
                    i += 1
                if i == nodes.shape[1] or nodes[other, i] < nodes[row, i]:
                    break
            order[place] = other
            place -= 1
        order[place] = row


@compiled(cache=True, nogil=True)
def join_halves(left, right, start, end, time, num_history, twice, index, kept):  # type: ignore[no-untyped-def]
    """Join partial paths, drop those that are too late or visit a node twice, and keep the best of each pair.

    Args:
        left: :class:`Half` of ``N`` rows from the history.
        right: :class:`Half` from the candidates.
        start: int64 ``[N]``, first row of ``right`` of the same prompt and middle node.
        end: int64 ``[N]``, the one after the last.
        time: float64 ``[S]``, of the predictions; NaN hides nothing.
        num_history: slots of a history.
        twice: int64 ``[T, 2]``, places before and after the middle whose nodes are of one type.
        index: of the meta-path.
        kept: :class:`Rows`, which are written.
    """
    middle = left.nodes.shape[1] - 1
    length = middle + right.nodes.shape[1]
    path = np.empty(length, np.int64)
    for a in range(len(left.slot)):
        sample = left.slot[a] // num_history
        slot = left.slot[a] - sample * num_history
        if start[a] == end[a] or left.time[a] >= time[sample]:
            continue
        for i in range(middle + 1):
            path[i] = left.nodes[a, i]
        for b in range(start[a], end[a]):
            row = kept.of[right.slot[b] * num_history + slot]
            if row < 0 or right.time[b] >= time[sample]:
                continue
            degree = max(left.degree[a], right.degree[b])
            if degree > kept.worst[row]:
                continue
            for i in range(middle + 1, length):
                path[i] = right.nodes[b, length - 1 - i]
            is_walk = True
            for t in range(len(twice)):
                if path[twice[t, 0]] == path[twice[t, 1]]:
                    is_walk = False
                    break
            if not is_walk:
                continue
            insert(kept, row, degree, index, path, left.weight[a] * right.weight[b])
