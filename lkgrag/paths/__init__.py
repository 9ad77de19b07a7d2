"""Paths between the history and the candidates: meta-paths, instances, batches."""

from lkgrag.paths.batch import PathBatch
from lkgrag.paths.instances import PathFinder
from lkgrag.paths.metapath import metapaths

__all__ = ["PathBatch", "PathFinder", "metapaths"]
