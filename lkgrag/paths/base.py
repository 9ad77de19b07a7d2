"""The contract of a search for paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath, PathBatch

#: Number of queries whose paths :meth:`GraphPaths.chunks` finds at a time.
CHUNK = 64


class Finder(Protocol):
    """Finds the paths of a graph for batches of prompts.

    Attributes:
        metapaths: all meta-paths, as in every batch; empty if each batch has its own.
    """

    metapaths: list[MetaPath]

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of ``B`` prompts, sorted by (sample, candidate)."""


@dataclass(frozen=True)
class GraphPaths:
    """A graph and the search for its paths.

    Attributes:
        data: the graph.
        finder: finds the paths of this graph.
    """

    data: HeteroData
    finder: Finder

    @property
    def metapaths(self) -> list[MetaPath]:
        """All meta-paths of the search; empty if each batch has its own."""
        return self.finder.metapaths

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the paths of ``B`` prompts, sorted by (sample, candidate), on the CPU."""
        return self.finder(queries)

    def to(self, device: torch.device | str) -> GraphPaths:
        """Move the graph to a device; the search stays on the CPU."""
        # PyG moves the tensors of a graph one by one, which takes longer than a search even if all are there.
        edges = next(iter(self.data.edge_stores), None)
        if edges is not None and edges.edge_index.device == torch.device(device):
            return self
        return GraphPaths(self.data.to(device), self.finder)

    def chunks(self, queries: Queries) -> Iterator[PathBatch]:
        """Find the paths of many queries, :data:`CHUNK` at a time.

        Without queries there is one empty part, which has the meta-paths.
        """
        for start in range(0, max(1, len(queries)), CHUNK):
            yield self.finder(queries[slice(start, start + CHUNK)])
