"""The search for one shortest path of any length for each pair, as in the published LlamaRec-LKG-RAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lkgrag.errors import ConfigError
from lkgrag.kg.naming import REVERSE
from lkgrag.paths.adjacency import Adjacency
from lkgrag.paths.batch import PathBatch, PathColumns
from lkgrag.paths.metapath import ITEM, USER, drop_duplicates, select_edge_types
from lkgrag.paths.metapath_search.two_edges import rarity
from lkgrag.paths.shortest.arrays import (
    BITS,
    PathBuffer,
    inner_nodes,
    neighbour_rows,
    new_pairs,
    new_scratch,
    sorted_order,
)
from lkgrag.paths.shortest.kernel import search

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import PathsConfig
    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath

#: Number of edges for each path that the buffer is first allocated for.
ROOM = 4
#: Number of prompts in a call of the kernel, which allocates memory for all paths that they can have.
BLOCK = 1024


class Witnesses(NamedTuple):
    """One shortest path of each connected pair, sorted by (prompt, candidate, history).

    Attributes:
        ends: int32 ``[N, 3]``: prompt, candidate slot, history slot.
        length: int32 ``[N]``, number of edges.
        chain: int32 ``[length.sum()]``, the edges of the paths one after the other, as places in the finder's
            tables ``source``, ``kind`` and ``target``; int64 from 2^31 edges on.
    """

    ends: NDArray[np.int32]
    length: NDArray[np.int32]
    chain: NDArray[np.integer]


class ShortestPaths:
    r"""Finds one shortest path from every history item to every candidate.

    Paths follow relations between items in their direction only (``also_bought``, not its inverse), and
    relations to values in both directions. No node is a user. A pair of equal items has no path.

    Among several shortest paths of :math:`L` edges, the node after :math:`\lfloor L/2 \rfloor` edges decides:
    the one that comes first by (node type, index). From there towards either end, the edge decides that comes
    first by (edge type, next node). Types are in the order of ``data.node_types`` and ``data.edge_types``.

    The meta-paths are not known before the search. So ``metapaths`` is empty, each
    :class:`~lkgrag.paths.PathBatch` has its own, and only scorers with ``open_metapaths`` can read them.

    Args:
        data: the graph.
        config: relations that paths use; all by default.
        longest: largest number of edges of a path; 0 for no limit.

    Attributes:
        metapaths: empty.
        edge_types: that paths use.
        source: int32 ``[E]``, sources of the edges among all nodes; see :meth:`offset`.
        kind: int32 ``[E]``, index into ``edge_types``.
        target: int32 ``[E]``, targets among all nodes.
        touched: number of neighbours that the last call read, where several edges between two nodes count once.

    Raises:
        ConfigError: edges have times (``kg.temporal``), which this search does not compare, or a relation is
            unknown.
    """

    def __init__(
        self, data: HeteroData, config: PathsConfig | None = None, longest: int = 0
    ) -> None:
        self.metapaths: list[MetaPath] = []
        self.longest = longest
        self.touched = 0
        self.num_items = int(data[ITEM].num_nodes)
        edge_types = drop_duplicates(data.edge_types)
        if config is not None:
            edge_types = select_edge_types(edge_types, config)
        self.edge_types = [e for e in edge_types if _is_used(e)]
        types = [t for t in data.node_types if t != USER]
        sizes = [int(data[t].num_nodes) for t in types]
        self._offset = dict(zip(types, np.cumsum([0, *sizes])[:-1].tolist(), strict=True))
        parts = []
        for number, edge_type in enumerate(self.edge_types):
            edges = Adjacency.of(data, edge_type)
            if edges.has_times:
                raise ConfigError(
                    "paths.search=shortest cannot compare the times of edges: set kg.temporal=false or "
                    "kg.behaviour=false"
                )
            strength: NDArray[np.float64] = edges.weight.astype(np.float64)
            if edge_type[2] != ITEM:
                strength = strength * rarity(edges.degree)[edges.target]
            source = (edges.source + self._offset[edge_type[0]]).astype(np.int32)
            target = (edges.target + self._offset[edge_type[2]]).astype(np.int32)
            parts.append((source, np.full(len(source), number, np.int32), target, strength))
        none = np.zeros(0, np.int32)
        columns = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else [none] * 4
        del parts
        total = sum(sizes)
        order = sorted_order(columns[:3], (total, len(self.edge_types), total))
        self.source, self.kind, self.target = (c[order] for c in columns[:3])
        self._strength: NDArray[np.float64] = columns[3][order].astype(np.float64)
        del columns, order
        # Nodes that no path leads through are left out, and the others are numbered anew in the same order.
        keep = inner_nodes(self.source, self.target, total)
        first_item = self._offset[ITEM]
        keep[first_item : first_item + self.num_items] = True
        numbers = (np.cumsum(keep) - 1).astype(np.int32)
        self._first_item = int(numbers[first_item]) if self.num_items else 0
        edge = np.flatnonzero(keep[self.source] & keep[self.target])
        edge = edge.astype(np.int32 if len(self.source) < 2**31 else np.int64)
        source, target = numbers[self.source[edge]], numbers[self.target[edge]]
        kind = self.kind[edge]
        nodes = int(keep.sum())
        self._tables = (
            neighbour_rows(source, kind, target, edge, nodes),
            neighbour_rows(target, kind, source, edge, nodes),
        )
        #: For each edge type, the first index of its targets' type among all nodes.
        self._ends = np.array([self._offset[e[2]] for e in self.edge_types], np.int64)
        self._work = new_scratch(nodes)

    def offset(self, node_type: str) -> int:
        """Return the first index of a node type among all nodes."""
        return self._offset[node_type]

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of a batch.

        Args:
            queries: ``B`` prompts.

        Returns:
            The batch on the CPU, sorted by (sample, candidate, history). Its ``metapaths`` are those that
            occur, shorter ones first.

        Raises:
            ValueError: an item of the queries is not in the graph.
        """
        witnesses = self.find(queries.history_items, queries.candidate_items)
        return self._batch(queries, witnesses)

    def find(self, history: NDArray[np.int64], candidates: NDArray[np.int64]) -> Witnesses:
        """Find one shortest path for each pair.

        Args:
            history: int64 ``[B, H]``, item indices, -1 padding.
            candidates: int64 ``[B, C]``, item indices, -1 padding.

        Raises:
            ValueError: an item is not in the graph.
        """
        for name, items in (("history_items", history), ("candidate_items", candidates)):
            if items.max(initial=-1) >= self.num_items or items.min(initial=-1) < -1:
                raise ValueError(f"{name} must lie in [-1, {self.num_items})")
        left, right = (np.where(x >= 0, x + self._first_item, -1) for x in (history, candidates))
        self.touched = 0
        parts = [
            part
            for start in range(0, len(left), BLOCK)
            for h in range(0, left.shape[1], BITS)
            for c in range(0, right.shape[1], BITS)
            for part in self._part(
                left[start : start + BLOCK, h : h + BITS],
                right[start : start + BLOCK, c : c + BITS],
                (start, c, h),
            )
        ]
        if len(parts) == 1:
            return parts[0]
        none = np.zeros(0, np.int32)
        place = np.concatenate([np.zeros((0, 3), np.int32), *(p.ends for p in parts)])
        length = np.concatenate([none, *(p.length for p in parts)])
        chain = np.concatenate([none, *(p.chain for p in parts)])
        if max(left.shape[1], right.shape[1]) <= BITS:
            return Witnesses(place, length, chain)
        order = np.lexsort((place[:, 2], place[:, 1], place[:, 0]))
        begin = (np.cumsum(length) - length)[order]
        length = length[order]
        first = np.cumsum(length) - length
        edge = np.arange(int(length.sum())) + np.repeat(begin - first, length)
        return Witnesses(place[order], length, chain[edge])

    def _part(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        offset: tuple[int, int, int],
    ) -> list[Witnesses]:
        """Find the paths for at most :data:`BITS` slots on either side.

        If the buffer is too small, the search is repeated with a larger one for the prompts that are left.

        Args:
            history: int64 ``[B, H]``, nodes, -1 padding.
            candidates: int64 ``[B, C]``, nodes, -1 padding.
            offset: numbers of the first prompt, candidate slot and history slot.
        """
        history, candidates = np.ascontiguousarray(history), np.ascontiguousarray(candidates)
        num_history, num_candidates = history.shape[1], candidates.shape[1]
        done, room, out = 0, ROOM, []
        while done < len(history):
            paths = (len(history) - done) * num_history * num_candidates
            # Pages of these arrays that no path is written to take no memory.
            kind = self._tables[0].edge.dtype
            buffer = PathBuffer(
                ends=np.empty((paths, 3), np.int32),
                length=np.empty(paths, np.int32),
                chain=np.empty(paths * room, kind),
                offset=np.array([offset[0] + done, *offset[1:]], np.int32),
            )
            count, num_edges, touched, prompts, problem = search(
                history[done:],
                candidates[done:],
                self._tables,
                self.longest,
                self._work,
                new_pairs(num_history, num_candidates, self._work.bits.shape[1] - 1, kind),
                buffer,
            )
            self.touched += touched
            if problem == 1:
                bits = self._work.bits
                self._work = new_scratch(bits.shape[2], 2 * (bits.shape[1] - 1))
            elif problem == 2:
                room *= 2
            out.append(
                Witnesses(buffer.ends[:count], buffer.length[:count], buffer.chain[:num_edges])
            )
            # The prompt for which the room was too small is searched again, and those after it.
            done += prompts
        return out

    def _batch(self, queries: Queries, witnesses: Witnesses) -> PathBatch:
        """Turn the edges of the paths into columns, and collect the meta-paths that occur."""
        ends, length, chain = witnesses
        longest = int(length.max(initial=0))
        number = len(length)
        row = np.repeat(np.arange(number), length)
        step = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
        kinds = np.full((number, longest), -1, np.int64)
        kinds[row, step] = self.kind[chain]
        nodes = np.full((number, longest + 1), -1, np.int64)
        offset = self._ends[self.kind[chain]] if len(row) else row
        nodes[row, step + 1] = self.target[chain] - offset
        nodes[:, 0] = queries.history_items[ends[:, 0], ends[:, 2]]
        weight = np.ones(number)
        np.multiply.at(weight, row, self._strength[chain])
        order = np.lexsort([*kinds.T[::-1], length]) if longest else np.arange(number)
        new = np.ones(number, bool)
        new[1:] = (kinds[order][1:] != kinds[order][:-1]).any(1)
        metapath = np.empty(number, np.int64)
        metapath[order] = np.cumsum(new) - 1
        occurring = kinds[order][new]
        metapaths = [tuple(self.edge_types[k] for k in kind if k >= 0) for kind in occurring]
        columns = PathColumns(
            sample=torch.from_numpy(ends[:, 0].astype(np.int64)),
            candidate=torch.from_numpy(ends[:, 1].astype(np.int64)),
            history=torch.from_numpy(ends[:, 2].astype(np.int64)),
            metapath=torch.from_numpy(metapath),
            nodes=torch.from_numpy(nodes),
            weight=torch.from_numpy(weight.astype(np.float32)),
        )
        return PathBatch.of(queries, metapaths, columns)


def _is_used(edge_type: EdgeType) -> bool:
    """Whether paths use an edge type."""
    source, relation, target = edge_type
    if USER in (source, target):
        return False
    return not (source == target == ITEM and relation.startswith(REVERSE))
