r"""The search for path instances between the history and the candidates of a batch of prompts.

An instance is a walk along one meta-path from a history item to a candidate that visits no node
twice. Each (history slot, candidate slot) pair keeps at most ``paths.max_per_pair`` instances, in this
order of preference:

1. fewer edges;
2. a smaller largest degree of the inner nodes, because a value that few items share says more. The degree of
   a node is the number of edges that lead to it, of the relation by which the path enters it. Without an
   inner node it is 0;
3. a smaller index of the meta-path;
4. smaller node indices, compared from left to right.

``weight`` is a product over the path, in (0, 1]. Every edge between items gives its ``weight`` as a factor.
Every inner node that is no item gives :math:`1 / \log_2(1 + d)`, where :math:`d` is its degree.

Users are never inner nodes, so no path contains the edge between the prompt's user and the target.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch_geometric.data import HeteroData

from lkgrag.config import PathsConfig
from lkgrag.errors import ConfigError
from lkgrag.paths.adjacency import Adjacency
from lkgrag.paths.metapath import ITEM, metapaths
from lkgrag.paths.metapath_search.best_paths import BestPaths
from lkgrag.paths.metapath_search.more_edges import (
    LongPaths,
    concatenate,
    sort_instances,
    take,
)
from lkgrag.paths.metapath_search.search import BLOCK, MetaPathSearch
from lkgrag.paths.metapath_search.tables import PathTables, allocate_files
from lkgrag.paths.metapath_search.two_edges import Instances, ShortPaths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.large.tables import TableKG
    from lkgrag.kg.remote import RemoteKG
    from lkgrag.paths.batch import MetaPath
    from lkgrag.paths.metapath_search.tables import Edges

#: Largest number of partial paths of a meta-path in a block, unless a single prompt has more.
PARTIAL = 200_000


class PathFinder(MetaPathSearch):
    """Finds the path instances of a graph for batches of prompts.

    Args:
        data: the graph, or one behind PyG's remote interfaces (:class:`~lkgrag.kg.RemoteKG`), or one in
            Parquet files (:class:`~lkgrag.kg.TableKG`). With
            ``data.temporal``, an edge with a ``time`` counts only for predictions that are strictly later.
        config: longest path, cap, and whether items may be inner nodes.
        folder: where to store the tables as files that are mapped into memory; see :meth:`open`. By default
            they are in memory.

    Attributes:
        metapaths: the meta-paths of the graph, as in every :class:`~lkgrag.paths.PathBatch`.

    Raises:
        ConfigError: an option is out of range. Or there is a ``folder``, and a meta-path has more than two
            edges or has items as inner nodes.
    """

    def __init__(
        self,
        data: HeteroData | RemoteKG | TableKG,
        config: PathsConfig,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(metapaths(data.edge_types, config), int(data[ITEM].num_nodes), config)
        used = [e for m in self.metapaths for e in m]
        if isinstance(data, HeteroData) and folder is None:
            edges: Edges = {e: Adjacency.of(data, e) for e in used}.__getitem__
        else:
            # Edges are read again each time they are needed, so that memory holds one relation at a time.
            edges = partial(Adjacency.of, data)
        short = [m for m, p in enumerate(self.metapaths) if len(p) <= 2 and _is_short(p, edges)]
        direct = [m for m in short if len(self.metapaths[m]) == 1]
        rest = [m for m in range(len(self.metapaths)) if m not in set(short)]
        if rest and folder is not None:
            raise ConfigError(
                "files hold only paths of one edge or over one shared value: set paths.max_length to 2, "
                "paths.through_items=false and kg.temporal=false"
            )
        tables = PathTables.build(
            [self.metapaths[m] for m in direct],
            {m: self.metapaths[m] for m in short if m not in direct},
            edges,
            self.num_items,
            None if folder is None else allocate_files(Path(folder)),
        )
        if folder is not None:
            tables.write_header(Path(folder), header_of(self.metapaths, config, self.num_items))
        self._short = ShortPaths(direct, tables)
        adjacency = {e: edges(e) for m in rest for e in self.metapaths[m]}
        backward = {e: a.reversed() for e, a in adjacency.items()}
        self._long = [LongPaths(m, self.metapaths[m], adjacency, backward) for m in rest]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> PathFinder:
        """Open the tables of another finder's folder; the graph itself is not needed.

        The files are mapped: a prompt reads only the rows of its items, and the system keeps rows in memory
        that are used often. So the graph may be larger than memory.

        Raises:
            LkgragError: a file is missing or broken.
        """
        tables, header = PathTables.open(Path(folder))
        self = cls.__new__(cls)
        found = [tuple((s, r, t) for s, r, t in m) for m in header["metapaths"]]
        MetaPathSearch.__init__(
            self, found, int(header["num_items"]), PathsConfig(**header["config"])
        )
        direct = [m for m, path in enumerate(self.metapaths) if len(path) == 1]
        self._short, self._long = ShortPaths(direct, tables), []
        return self

    def _bounds(self, history: NDArray[np.int64], candidates: NDArray[np.int64]) -> list[int]:
        """Cut the prompts into blocks by their number and their cost: where blocks begin, and the end."""
        group = np.arange(len(history)) // BLOCK
        if self._long:
            cost = np.append(np.max([finder.cost for finder in self._long], axis=0), 0)
            # Index -1, the padding, costs nothing.
            total = np.cumsum(cost[history].sum(1) + cost[candidates].sum(1))
            group = group * (int(total[-1]) // PARTIAL + 1 if len(total) else 1) + total // PARTIAL
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        return [*starts.tolist(), len(history)]

    def _search(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64], time: NDArray[np.float64]
    ) -> Instances:
        """Find the instances of a block of prompts, sorted by pair, then meta-path, then nodes."""
        most = self.config.max_per_pair
        instances = self._short(history, candidates, time, most, self._width)
        if not self._long:
            return instances
        pairs = history.size * candidates.shape[1]
        # A path that visits no node twice does not end where it began.
        same = candidates[:, :, None] == history[:, None, :]
        padding = (candidates < 0)[:, :, None] | (history < 0)[:, None, :]
        pathless = (same | padding).reshape(-1)
        for length, group in groupby(self._long, key=lambda finder: len(finder.types)):
            # A pair that has enough shorter paths keeps none of the longer ones.
            is_shorter = (instances.nodes >= 0).sum(1) < length
            shorter = take(instances, np.flatnonzero(is_shorter))
            taken = np.bincount(shorter.pair, minlength=pairs)
            best = BestPaths(np.where(pathless, 0, most - taken), length)
            if not len(best):
                continue
            best.offer(take(instances, np.flatnonzero(~is_shorter)))
            for finder in group:
                finder(history, candidates, time, best)
            instances = concatenate([shorter, best.instances(self._width)])
        return sort_instances(instances)


def header_of(found: list[MetaPath], config: PathsConfig, num_items: int) -> dict[str, Any]:
    """What :meth:`PathFinder.open` needs beside the tables.

    Args:
        found: all meta-paths.
        config: of the search.
        num_items: ``I``.
    """
    return {"metapaths": found, "config": asdict(config), "num_items": num_items}


def _is_short(metapath: MetaPath, edges: Edges) -> bool:
    """Whether :class:`ShortPaths` can find the instances of a meta-path of one or two edges.

    With two edges it knows neither the weights of edges between items nor the times of edges.
    """
    if len(metapath) == 1:
        return True
    return metapath[0][2] != ITEM and not any(edges(e).has_times for e in metapath)
