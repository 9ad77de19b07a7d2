"""Paths of the graph between history items and candidates: meta-paths, their instances, and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.paths.base import Finder, GraphPaths
from lkgrag.paths.batch import PathBatch
from lkgrag.paths.folds import ExamplePaths
from lkgrag.paths.metapath import metapaths
from lkgrag.paths.metapath_search.finder import PathFinder
from lkgrag.paths.metapath_search.store_finder import StoreFinder
from lkgrag.paths.shortest.finder import ShortestPaths

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import PathsConfig

#: The searches, by the words of ``paths.search``.
SEARCHES: dict[str, type[PathFinder] | type[ShortestPaths]] = {
    "metapaths": PathFinder,
    "shortest": ShortestPaths,
}


def path_finder(data: HeteroData, config: PathsConfig) -> Finder:
    """Build the search that ``paths.search`` names, for a graph.

    Raises:
        ConfigError: an option does not fit the graph.
    """
    return SEARCHES[config.search](data, config)


def graph_paths(data: HeteroData, config: PathsConfig) -> GraphPaths:
    """Join a graph with the search that ``paths.search`` names.

    Raises:
        ConfigError: an option does not fit the graph.
    """
    return GraphPaths(data, path_finder(data, config))


__all__ = [
    "ExamplePaths",
    "Finder",
    "GraphPaths",
    "PathBatch",
    "PathFinder",
    "ShortestPaths",
    "StoreFinder",
    "graph_paths",
    "metapaths",
    "path_finder",
]
