"""The contract of a search for paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath, PathBatch


class Finder(Protocol):
    """Finds the paths of a graph for batches of prompts.

    Attributes:
        metapaths: all meta-paths, as in every batch; empty where each batch brings its own.
    """

    metapaths: list[MetaPath]

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of ``B`` prompts, sorted by (sample, candidate)."""
