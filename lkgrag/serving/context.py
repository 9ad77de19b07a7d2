"""The context of a ranker: all that it needs beside its model to rank for anyone."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lkgrag.data.dropped import Dropped
from lkgrag.kg.item_vectors import ItemVectors
from lkgrag.kg.path_words import PathWords
from lkgrag.ranker.fusion import TermWeights
from lkgrag.retrieval.index.choice import with_chosen_index
from lkgrag.serving.attributes import Attributes
from lkgrag.text import EncoderChoice, load_encoder
from lkgrag.utils.progress import activity

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.paths import Finder, GraphPaths
    from lkgrag.ranker.fusion_weights import FittedWeights
    from lkgrag.retrieval import FusedRetriever
    from lkgrag.serving.catalogue import Catalogue
    from lkgrag.serving.known import KnownData
    from lkgrag.serving.users import UserTable
    from lkgrag.text import TextEncoder
    from lkgrag.text.requests import RequestModel


@dataclass
class Context:
    """All that a ranker needs beside its model to rank for anyone.

    Attributes:
        graph: the graph of all training interactions, and its paths.
        retriever: proposes candidates.
        catalogue: ids and titles of the items.
        config: of the run.
        users: ids and histories of the data's users.
        learned: the weights after training, before validation refits them.
        fitted: the weights that validation fitted, with and without the language model; None for a ranker of an
            older version, which has one set only.
        requests: scores items by requests in words; None where the items have no texts, or in a ranker of an older
            version.
        merged: folder of the language model, if the adapter is merged into it; None with an adapter.
        dropped: users and items that had too few interactions.
        known: the data that an update adds to; None in a ranker of an older version.
        updates: what each update since training added.
        figures: of the run's ``metrics.json``, what the model card says; None in a ranker without a finished run.
    """

    graph: GraphPaths
    retriever: FusedRetriever
    catalogue: Catalogue
    config: Config
    users: UserTable
    learned: TermWeights = TermWeights(1.0, 1.0, 1.0)
    fitted: FittedWeights | None = None
    merged: str | None = None
    requests: RequestModel | None = None
    dropped: Dropped = field(default_factory=Dropped)
    known: KnownData | None = None
    updates: tuple[dict[str, Any], ...] = ()
    figures: dict[str, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The state for copies and pickles, without what is made again when it is asked for."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def data(self) -> HeteroData:
        """The graph."""
        return self.graph.data

    @property
    def finder(self) -> Finder:
        """The search for the graph's paths."""
        return self.graph.finder

    @cached_property
    def encoder(self) -> TextEncoder | None:
        """The encoder of the items' texts, loaded at the first request that needs it; None without one.

        Raises:
            LkgragError: its files are not available.
        """
        choice = EncoderChoice.of(self.config.text, self.config.llm)
        if choice is None:
            return None
        with activity("load the encoder"):
            return load_encoder(choice)

    @cached_property
    def attributes(self) -> Attributes:
        """What the items can be filtered by.

        Raises:
            LkgragError: a file of the data is missing or broken.
        """
        return Attributes(self.data, None if self.known is None else self.known.read_items())

    @cached_property
    def item_vectors(self) -> ItemVectors | None:
        """What tells how alike items are; None where items have neither attributes nor vectors of their texts."""
        return ItemVectors.of(self.data)

    @cached_property
    def words(self) -> PathWords:
        """Words for the graph's paths; all batches share its sorted counts."""
        return PathWords(self.data)


def with_index(context: Context, index: str) -> Context:
    """The same context as it finds candidates with ``serving.index``; parts are shared.

    Args:
        context: of the ranker.
        index: the option's value, which has been checked.
    """
    config = replace(context.config, serving=replace(context.config.serving, index=index))
    found = context.retriever.index
    if found is not None and index == context.config.serving.index:
        return context
    return replace(
        context, config=config, retriever=with_chosen_index(context.retriever, index, config.seed)
    )
