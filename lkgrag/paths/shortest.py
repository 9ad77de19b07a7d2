"""One shortest path of any length for each pair, as the published LlamaRec-LKG-RAG asks of its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import ConfigError
from lkgrag.kg.schema import REVERSE
from lkgrag.paths.adjacency import Adjacency, spread
from lkgrag.paths.batch import PathBatch
from lkgrag.paths.metapath import ITEM, USER, distinct
from lkgrag.paths.short import rarity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import PathsConfig
    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath

#: Candidates that one pass of the search carries, a bit each.
BITS = 64


class ShortestPaths:
    """Finds one shortest path, of whatever length, from every history item to every candidate.

    Paths follow the direction of relations between items (``also_bought``, not its inverse) and both
    directions of relations to values; no node is a user. Of several shortest paths the first is taken
    in the order of (edge type, node), step by step from the history item, edge types in the order of
    ``data.edge_types``. A pair of equal items has no path.

    The kinds of paths are not known beforehand: ``metapaths`` is empty, each
    :class:`~lkgrag.paths.PathBatch` brings its own, and only scorers with ``open_metapaths`` can
    read them.

    Args:
        data: the graph.
        config: not read; the search has no bound.

    Attributes:
        metapaths: empty.

    Raises:
        ConfigError: edges have times to be minded (``kg.temporal``), which this search does not.
    """

    def __init__(self, data: HeteroData, config: PathsConfig) -> None:
        self.metapaths: list[MetaPath] = []
        self.num_items = int(data[ITEM].num_nodes)
        self._edge_types = [e for e in distinct(data.edge_types) if _used(e)]
        types = [t for t in data.node_types if t != USER]
        sizes = [int(data[t].num_nodes) for t in types]
        #: First index of each node type among all nodes.
        self._offset = dict(zip(types, np.cumsum([0, *sizes])[:-1].tolist(), strict=True))
        parts = []
        for number, edge_type in enumerate(self._edge_types):
            edges = Adjacency.of(data, edge_type)
            if np.isfinite(edges.time).any():
                raise ConfigError(
                    "paths.search=shortest does not mind when an edge first stood: set "
                    "kg.temporal=false or kg.behaviour=false"
                )
            source = edges.source + self._offset[edge_type[0]]
            target = edges.target + self._offset[edge_type[2]]
            strength = edges.weight.copy()
            if edge_type[2] != ITEM:
                strength *= rarity(edges.degree)[edges.target]
            parts.append((source, np.full(len(source), number), target, strength))
        columns = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else [_NONE] * 4
        order = np.lexsort((columns[2], columns[1], columns[0]))
        self._source, self._type, self._target, self._strength = (c[order] for c in columns)
        total = sum(sizes)
        self._out = np.searchsorted(self._source, np.arange(total + 1))
        inward = np.argsort(self._target, kind="stable")
        self._from = self._source[inward]
        self._in = np.searchsorted(self._target[inward], np.arange(total + 1))

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of a batch.

        Args:
            queries: ``B`` prompts.

        Returns:
            The batch on the CPU, sorted by (sample, candidate, history); its ``metapaths`` are those
            that occur, shorter first.

        Raises:
            ValueError: an item of the queries is not in the graph.
        """
        history, candidates = queries.history_items, queries.candidate_items
        for name, items in (("history_items", history), ("candidate_items", candidates)):
            if items.max(initial=-1) >= self.num_items or items.min(initial=-1) < -1:
                raise ValueError(f"{name} must lie in [-1, {self.num_items})")
        ends, chains = [], []
        for row in range(len(history)):
            for pair, chain in self._prompt(history[row], candidates[row]):
                ends.append((row, *pair))
                chains.append(chain)
        return self._batch(queries, ends, chains)

    def _prompt(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> list[tuple[tuple[int, int], list[int]]]:
        """``((candidate slot, history slot), edges)`` of each connected pair of one prompt."""
        found = []
        for start in range(0, len(candidates), BITS):
            part = candidates[start : start + BITS]
            levels = self._levels(history[history >= 0], part)
            found += [((start + c, h), e) for (c, h), e in self._walk(history, part, levels)]
        return sorted(found)

    def _levels(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> list[NDArray[np.uint64]]:
        """Bits of the candidates that each node reaches in exactly so many steps and no fewer."""
        offset = self._offset[ITEM]
        first = np.zeros(len(self._out) - 1, np.uint64)
        slots = np.flatnonzero(candidates >= 0)
        bits = np.uint64(1) << slots.astype(np.uint64)
        np.bitwise_or.at(first, candidates[slots] + offset, bits)
        levels, seen, front = [first], first.copy(), np.unique(candidates[slots] + offset)
        wanted = np.bitwise_or.reduce(bits, initial=np.uint64(0))
        while len(front) and (seen[history + offset] != wanted).any():
            count = self._in[front + 1] - self._in[front]
            row, place = spread(self._in[front], count)
            node, bit = self._from[place], levels[-1][front][row]
            order = np.argsort(node, kind="stable")
            node, bit = node[order], bit[order]
            begin = np.flatnonzero(np.diff(node, prepend=-1))
            front = node[begin]
            fresh = (np.bitwise_or.reduceat(bit, begin) if len(begin) else bit) & ~seen[front]
            front, fresh = front[fresh != 0], fresh[fresh != 0]
            level = np.zeros_like(first)
            level[front] = fresh
            seen[front] |= fresh
            levels.append(level)
        return levels

    def _walk(
        self,
        history: NDArray[np.int64],
        candidates: NDArray[np.int64],
        levels: list[NDArray[np.uint64]],
    ) -> list[tuple[tuple[int, int], list[int]]]:
        """From each history item down the levels to each candidate."""
        offset = self._offset[ITEM]
        slots = np.flatnonzero(history >= 0)
        begin = np.repeat(history[slots] + offset, len(candidates))
        h = np.repeat(slots, len(candidates))
        c = np.tile(np.arange(len(candidates)), len(slots))
        bit = np.uint64(1) << c.astype(np.uint64)
        distance = np.full(len(begin), -1)
        for steps, level in enumerate(levels):
            distance[(level[begin] & bit) != 0] = steps
        out: list[tuple[tuple[int, int], list[int]]] = []
        for length in range(1, len(levels)):
            rows = np.flatnonzero(distance == length)
            at, chain = begin[rows], []
            for left in range(length - 1, -1, -1):
                count = self._out[at + 1] - self._out[at]
                row, place = spread(self._out[at], count)
                good = (levels[left][self._target[place]] & bit[rows][row]) != 0
                # Edges of a node are sorted by (type, target), so the first good one is the rule's.
                _, first = np.unique(row[good], return_index=True)
                edge = place[good][first]
                chain.append(edge)
                at = self._target[edge]
            edges = np.stack(chain, 1).tolist() if len(rows) else []
            out += zip(zip(c[rows].tolist(), h[rows].tolist(), strict=True), edges, strict=True)
        return out

    def _batch(
        self, queries: Queries, ends: list[tuple[int, int, int]], chains: list[list[int]]
    ) -> PathBatch:
        width = max((len(chain) for chain in chains), default=0) + 1
        nodes = np.full((len(chains), width), -1, np.int64)
        weight = np.ones(len(chains), np.float32)
        kinds = [tuple(int(self._type[e]) for e in chain) for chain in chains]
        known = sorted(set(kinds), key=lambda kind: (len(kind), kind))
        number = {kind: i for i, kind in enumerate(known)}
        for row, chain in enumerate(chains):
            nodes[row, 0] = self._source[chain[0]] - self._offset[ITEM]
            for place, edge in enumerate(chain):
                kind = self._edge_types[self._type[edge]][2]
                nodes[row, place + 1] = self._target[edge] - self._offset[kind]
            weight[row] = np.prod(self._strength[chain])
        slots = np.asarray(ends, np.int64).reshape(-1, 3)
        return PathBatch.of(
            queries,
            metapaths=[tuple(self._edge_types[t] for t in kind) for kind in known],
            sample=torch.from_numpy(slots[:, 0].copy()),
            candidate=torch.from_numpy(slots[:, 1].copy()),
            history=torch.from_numpy(slots[:, 2].copy()),
            metapath=torch.tensor([number[kind] for kind in kinds], dtype=torch.int64),
            nodes=torch.from_numpy(nodes),
            weight=torch.from_numpy(weight),
        )


_NONE = np.zeros(0, np.int64)


def _used(edge_type: EdgeType) -> bool:
    """Whether paths may take an edge type."""
    source, relation, target = edge_type
    if USER in (source, target):
        return False
    return not (source == target == ITEM and relation.startswith(REVERSE))
