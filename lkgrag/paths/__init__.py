"""Paths between the history and the candidates: meta-paths, instances, batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.paths.base import Finder, GraphPaths
from lkgrag.paths.batch import PathBatch
from lkgrag.paths.metapath import metapaths
from lkgrag.paths.metapath_search.finder import PathFinder
from lkgrag.paths.shortest.finder import ShortestPaths

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import PathsConfig

#: By the words of ``paths.search``.
SEARCHES: dict[str, type[PathFinder] | type[ShortestPaths]] = {
    "metapaths": PathFinder,
    "shortest": ShortestPaths,
}


def path_finder(data: HeteroData, config: PathsConfig) -> Finder:
    """The search that ``paths.search`` names, on a graph.

    Raises:
        ConfigError: an option does not fit the graph.
    """
    return SEARCHES[config.search](data, config)


def graph_paths(data: HeteroData, config: PathsConfig) -> GraphPaths:
    """A graph with the search that ``paths.search`` names.

    Raises:
        ConfigError: an option does not fit the graph.
    """
    return GraphPaths(data, path_finder(data, config))


__all__ = [
    "Finder",
    "GraphPaths",
    "PathBatch",
    "PathFinder",
    "ShortestPaths",
    "graph_paths",
    "metapaths",
    "path_finder",
]
