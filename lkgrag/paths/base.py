"""The contract of a search for paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import HeteroData

    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath, PathBatch

#: Queries whose paths are found at once where all are gone through.
CHUNK = 64


class Finder(Protocol):
    """Finds the paths of a graph for batches of prompts.

    Attributes:
        metapaths: all meta-paths, as in every batch; empty where each batch brings its own.
    """

    metapaths: list[MetaPath]

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of ``B`` prompts, sorted by (sample, candidate)."""


@dataclass(frozen=True)
class GraphPaths:
    """A graph and the search for its paths, which travel together.

    Attributes:
        data: the graph.
        finder: finds the paths of this graph.
    """

    data: HeteroData
    finder: Finder

    @property
    def metapaths(self) -> list[MetaPath]:
        """All meta-paths of the search; empty where each batch brings its own."""
        return self.finder.metapaths

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of ``B`` prompts, sorted by (sample, candidate), on the CPU."""
        return self.finder(queries)

    def to(self, device: torch.device | str) -> GraphPaths:
        """The same with the graph on a device; the search stays on the CPU."""
        return GraphPaths(self.data.to(device), self.finder)

    def chunks(self, queries: Queries) -> Iterator[PathBatch]:
        """Paths of many queries, a part at a time; of none, one empty part, which tells the meta-paths."""
        for start in range(0, max(1, len(queries)), CHUNK):
            yield self.finder(queries[slice(start, start + CHUNK)])
