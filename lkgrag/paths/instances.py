r"""Path instances between the history and the candidates of a batch of prompts.

An instance is a walk along one meta-path from a history item to a candidate that visits no node
twice. Of each (history slot, candidate slot) pair at most ``paths.max_per_pair`` are kept, in this
order of preference:

1. fewer edges;
2. the smaller largest degree of an inner node, where a node's degree is the number of edges, of the
   relation by which the path enters it, that lead to it (0 if there is no inner node): what few items
   share says more;
3. the smaller index of the meta-path;
4. the smaller node indices, compared from left to right.

``weight`` is the product over the path of the ``weight`` of every edge between items and of
:math:`1 / \log_2(1 + d)` for every inner node of degree :math:`d` that is no item. It lies in (0, 1].

Users are never inner nodes, so no path can hold the edge between the prompt's user and the target.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import ConfigError
from lkgrag.paths.adjacency import Adjacency
from lkgrag.paths.batch import PathBatch
from lkgrag.paths.long import LongPaths, best, concatenate, in_order
from lkgrag.paths.metapath import ITEM, metapaths
from lkgrag.paths.short import Found, ShortPaths

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import PathsConfig
    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath

#: Prompts worked on at a time; blocks of this size stay in the processor's cache.
BLOCK = 32
#: Most partial paths of one meta-path that a block may have at its longest, unless one prompt has more.
PARTIAL = 200_000
#: Instances of different meta-paths that are gathered before they are cut to the cap.
GATHER = 500_000


class PathFinder:
    """Finds the path instances of a graph for batches of prompts.

    Args:
        data: the graph. With ``data.temporal`` an edge that has a ``time`` counts only for prompts
            whose prediction is strictly later.
        config: longest path, cap, and whether items may be inner nodes.

    Attributes:
        metapaths: the meta-paths of the graph, as in every :class:`~lkgrag.paths.PathBatch`.

    Raises:
        ConfigError: an option is out of range.
    """

    def __init__(self, data: HeteroData, config: PathsConfig) -> None:
        if config.max_per_pair < 1:
            raise ConfigError(f"paths.max_per_pair must be at least 1, got {config.max_per_pair}")
        self.config = config
        self.metapaths: list[MetaPath] = metapaths(data.edge_types, config)
        self.num_items = int(data[ITEM].num_nodes)
        adjacency = {e: Adjacency.of(data, e) for m in self.metapaths for e in m}
        # Edges between items have weights and times; the short way knows neither in two steps.
        short = [m for m, p in enumerate(self.metapaths) if len(p) <= 2 and _plain(p, adjacency)]
        self._short = ShortPaths(self.metapaths, adjacency, short, self.num_items)
        rest = [m for m in range(len(self.metapaths)) if m not in set(short)]
        backward = {e: a.reversed() for e, a in adjacency.items()} if rest else {}
        self._long = [LongPaths(m, self.metapaths[m], adjacency, backward) for m in rest]
        self._width = max((len(m) + 1 for m in self.metapaths), default=0)

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the instances of a batch.

        Args:
            queries: ``B`` prompts.

        Returns:
            The batch on the CPU, sorted by (sample, candidate, history, meta-path, nodes).

        Raises:
            ValueError: an item of the queries is not in the graph.
        """
        history, candidates = queries.history_items, queries.candidate_items
        for name, items in (("history_items", history), ("candidate_items", candidates)):
            if items.max(initial=-1) >= self.num_items or items.min(initial=-1) < -1:
                raise ValueError(f"{name} must lie in [-1, {self.num_items})")
        per_prompt = history.shape[1] * candidates.shape[1]
        blocks = []
        if self.metapaths and per_prompt:
            bounds = self._bounds(history, candidates)
            for start, end in pairwise(bounds):
                part = slice(start, end)
                found = self._block(history[part], candidates[part], queries.time[part])
                blocks.append((start * per_prompt, found))
        return self._batch(queries, blocks)

    def _bounds(self, history: NDArray[np.int64], candidates: NDArray[np.int64]) -> list[int]:
        """Where blocks of prompts begin and end, by their number and what they cost."""
        group = np.arange(len(history)) // BLOCK
        if self._long:
            cost = np.append(np.max([finder.cost for finder in self._long], axis=0), 0)
            # Index -1, the padding, costs nothing.
            total = np.cumsum(cost[history].sum(1) + cost[candidates].sum(1))
            group = group * (int(total[-1]) // PARTIAL + 1 if len(total) else 1) + total // PARTIAL
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        return [*starts.tolist(), len(history)]

    def _block(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64], time: NDArray[np.float64]
    ) -> Found:
        most = self.config.max_per_pair
        found = self._short(history, candidates, time, most, self._width)
        if not self._long:
            return found
        pairs = history.size * candidates.shape[1]
        parts, length = [found], 0
        full = np.zeros(pairs, bool)
        for finder in self._long:
            if len(finder.types) > length:
                # A pair that has enough shorter paths keeps none of the longer ones.
                length = len(finder.types)
                parts = [best(concatenate(parts), most)]
                shorter = (parts[0].nodes >= 0).sum(1) < length
                full = np.bincount(parts[0].pair[shorter], minlength=pairs) >= most
            parts += finder(history, candidates, time, most, full, self._width)
            if sum(len(p.pair) for p in parts) > GATHER:
                parts = [best(concatenate(parts), most)]
        return in_order(best(concatenate(parts), most))

    def _batch(self, queries: Queries, blocks: list[tuple[int, Found]]) -> PathBatch:
        def column(name: str, shape: tuple[int, ...] = (0,)) -> NDArray:
            parts = [getattr(found, name) for _, found in blocks]
            return np.concatenate(parts) if parts else np.zeros(shape, np.int64)

        pair = [offset + found.pair for offset, found in blocks]
        flat = np.concatenate(pair) if pair else np.zeros(0, np.int64)
        num_history, num_candidates = (
            queries.history_items.shape[1],
            queries.candidate_items.shape[1],
        )
        slot, history = np.divmod(flat, max(num_history, 1))
        sample, candidate = np.divmod(slot, max(num_candidates, 1))
        return PathBatch.of(
            queries,
            metapaths=self.metapaths,
            sample=torch.from_numpy(sample),
            history=torch.from_numpy(history),
            candidate=torch.from_numpy(candidate),
            metapath=torch.from_numpy(column("metapath")),
            nodes=torch.from_numpy(column("nodes", (0, self._width))),
            weight=torch.from_numpy(column("weight").astype(np.float32)),
        )


def _plain(metapath: MetaPath, adjacency: dict) -> bool:
    """Whether :class:`~lkgrag.paths.short.ShortPaths` can find a meta-path's instances."""
    if len(metapath) == 1:
        return True
    return metapath[0][2] != ITEM and not any(
        np.isfinite(adjacency[e].time).any() for e in metapath
    )
