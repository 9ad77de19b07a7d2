"""What a ranker needs beside its model to serve anyone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lkgrag.kg.path_words import PathWords

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.paths import Finder, GraphPaths
    from lkgrag.retrieval import FusedRetriever
    from lkgrag.serving.catalogue import Catalogue
    from lkgrag.serving.users import UserTable


@dataclass
class Context:
    """What a ranker needs beside its model to serve anyone.

    Attributes:
        graph: of all training interactions, and its paths.
        retriever: proposes candidates.
        catalogue: ids and titles.
        config: of the run.
        users: ids and histories of the data's users.
        learned: the weights (a, b) that training left, before their refit on validation.
        merged: folder of a language model that the adapter was merged into; None with an adapter.
    """

    graph: GraphPaths
    retriever: FusedRetriever
    catalogue: Catalogue
    config: Config
    users: UserTable
    learned: tuple[float, float] = (1.0, 1.0)
    merged: str | None = None

    @property
    def data(self) -> HeteroData:
        """The graph."""
        return self.graph.data

    @property
    def finder(self) -> Finder:
        """The search for the graph's paths."""
        return self.graph.finder

    @cached_property
    def words(self) -> PathWords:
        """Words the paths of the graph, whose counts are sorted once for all batches."""
        return PathWords(self.data)
