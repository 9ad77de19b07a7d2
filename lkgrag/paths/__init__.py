"""Paths between the history and the candidates: meta-paths, instances, batches."""

from lkgrag.paths.batch import PathBatch
from lkgrag.paths.check import in_graph
from lkgrag.paths.instances import PathFinder
from lkgrag.paths.metapath import metapaths

__all__ = ["PathBatch", "PathFinder", "in_graph", "metapaths"]
