"""What a ranker needs beside its weights to serve anyone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lkgrag.kg.path_words import PathWords
from lkgrag.ranker.model import Ranker

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.paths import Finder
    from lkgrag.retrieval import FusedRetriever
    from lkgrag.serving.catalogue import Catalogue
    from lkgrag.serving.users import UserTable


@dataclass
class Context:
    """What a ranker needs beside its weights to serve anyone.

    Attributes:
        data: the graph.
        finder: paths of the graph.
        retriever: proposes candidates.
        catalogue: ids and titles.
        config: of the run.
        users: ids and histories of the data's users.
        merged: folder of a language model that the adapter was merged into; None with an adapter.
    """

    data: HeteroData
    finder: Finder
    retriever: FusedRetriever
    catalogue: Catalogue
    config: Config
    users: UserTable
    merged: str | None = None

    @cached_property
    def words(self) -> PathWords:
        """Words the paths of the graph, whose counts are sorted once for all batches."""
        return PathWords(self.data)


def context_of(ranker: Ranker) -> Context:
    """The ranker's context.

    Raises:
        ValueError: it has none.
    """
    if ranker.context is None:
        raise ValueError("this ranker has no context: load it with Ranker.from_pretrained")
    return ranker.context
