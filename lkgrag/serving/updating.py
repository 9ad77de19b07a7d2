"""An update: new interactions, users and items in a ranker that is not trained again.

What is counted is counted anew on all interactions (popularity, item-item counts, EASE, the graph), so it equals a
count from the beginning. What is learned stays: LRURec, the words and towers of ``text``, the path scorer, the language
model, and all weights of fusion. New items get a vector in LRURec from their neighbours
(:mod:`lkgrag.retrieval.lrurec.induction`), and in ``text`` from their words.
"""

from __future__ import annotations

import copy
import datetime
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lkgrag.data.frames import build_tables, to_frame
from lkgrag.data.growth import grow
from lkgrag.data.growth_tables import as_tables
from lkgrag.data.interactions import Interactions
from lkgrag.errors import ConfigError, DataError, RunError
from lkgrag.kg.growth import grow_kg
from lkgrag.paths import graph_paths
from lkgrag.prompt import build_prompter
from lkgrag.ranker.model import RankerModel
from lkgrag.retrieval.growth import grow_retriever
from lkgrag.scorer.base import option_of
from lkgrag.scorer.resolver import new_scorer
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.known import KnownData
from lkgrag.serving.users import UsersInMemory
from lkgrag.serving.withheld import WithheldUsers
from lkgrag.text import item_texts
from lkgrag.text.requests import RequestModel
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.progress import activity, rename_activity

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import DataConfig
    from lkgrag.data.growth import GrowthReport
    from lkgrag.data.tables import Tables
    from lkgrag.paths import GraphPaths
    from lkgrag.scorer import PathScorer
    from lkgrag.serving.context import Context

log = logging.getLogger(__name__)
#: The arguments of an update, by their names in messages.
TABLES = ("interactions", "items", "triples", "users")


@activity("update")
def update_context(
    scorer: PathScorer, context: Context, tables: Tables, config: DataConfig, unchosen: bool = True
) -> tuple[PathScorer, Context, GrowthReport]:
    """Add new data to a ranker's context.

    Args:
        scorer: of before.
        context: of before; it stays as it is.
        tables: what is new.
        config: how the new data are read; see :func:`reading_options`.
        unchosen: as of :func:`lkgrag.data.growth.grow`.

    Returns:
        The scorer for the new graph, the new context, and what became of the new data.

    Raises:
        RunError: the ranker was saved by a version that kept no data.
        DataError: as :func:`lkgrag.data.growth.grow` and :func:`lkgrag.kg.growth.grow_kg`.
        ConfigError: a custom part cannot be extended.
    """
    known = _read_known(context)
    rename_activity("add the new data")
    growth = grow(known, tables, config, unchosen)
    log.info("%s", growth.report)
    whole, options = growth.interactions, context.config
    data, told = grow_kg(context.data, whole, options.kg)
    for line in (*growth.report.ignored, *told):
        log.warning("%s", line)
    _put_vectors(context, data, known, whole)
    graph = graph_paths(data, options.paths)
    if list(graph.metapaths) != list(context.graph.metapaths):
        raise DataError("the new data change the kinds of paths that the ranker knows; train again")
    grown_scorer = extend_scorer(scorer, context, graph)
    retriever = grow_retriever(context.retriever, whole, data, options.retrieval, options.seed)
    x = data["item"].get("x")
    updated = replace(
        context,
        graph=graph,
        retriever=retriever,
        catalogue=Catalogue(whole.item_ids, whole.titles),
        users=UsersInMemory(whole.user_ids, whole.indptr, whole.item, whole.rating),
        requests=_grow_requests(context.requests, whole, None if x is None else x.cpu().numpy()),
        dropped=context.dropped.without(whole.user_ids, whole.item_ids),
        known=KnownData(whole),
        updates=(
            *context.updates,
            {"date": datetime.date.today().isoformat(), **growth.report.to_dict()},
        ),
    )
    return grown_scorer, updated, growth.report


def update_model(model: RankerModel, scorer: PathScorer, context: Context) -> RankerModel:
    """The same model for an updated context: its language model and its weights are shared.

    Args:
        model: of before.
        scorer: of :func:`update_context`.
        context: the updated one.
    """
    prompter = model.prompter
    if model.lm is not None and prompter is not None:
        tables = prompter.tables()
        prompter = build_prompter(
            prompter.tokenizer, context.data, context.config.prompt, model.lm.readout.layout
        )
        prompter.load_tables(tables)
    return RankerModel(model.lm, scorer.to(model.device), prompter, model.fusion).eval()


def reading_options(context: Context, **changes: object) -> DataConfig:
    """How new data are read: as the ranker's own, but a user or an item with one interaction is enough.

    Args:
        context: of the ranker.
        changes: other values of options of ``data``.
    """
    return replace(context.config.data, **{"min_user": 1, "min_item": 1, **changes})  # type: ignore[arg-type]


def tables_of(
    context: Context, interactions: Any, items: Any, triples: Any, users: Any
) -> tuple[Tables, DataConfig]:
    """New data in memory as tables, and how they are read.

    Args:
        context: of the ranker.
        interactions: as of :meth:`lkgrag.Interactions.from_frames`, or an :class:`lkgrag.Interactions`; None for none.
        items: as there.
        triples: as there.
        users: as there.

    Raises:
        DataError: there is nothing, or a table cannot be read.
    """
    config = reading_options(context)
    given = (interactions, items, triples, users)
    if all(table is None for table in given):
        raise DataError("update: nothing is given; give interactions, items, triples or users")
    if isinstance(interactions, Interactions):
        if any(table is not None for table in given[1:]):
            raise DataError(
                "update: Interactions hold their items, triples and users; give no others"
            )
        # Their times are in seconds already.
        unit = "any" if config.time_unit == "any" else "s"
        return as_tables(interactions), replace(config, time_unit=unit)
    if interactions is None:
        interactions = {"user": [], "item": []}
    frames = [to_frame(t, n) for t, n in zip(given, TABLES, strict=True) if t is not None]
    there = {str(column) for frame in frames for column in frame.columns}
    # Names of columns in the files of the run need not be those in memory.
    columns = {word: name for word, name in config.columns.items() if name in there}
    return build_tables(interactions, items, triples, users, columns), config


def _read_known(context: Context) -> Interactions:
    """The data that the ranker knows.

    Raises:
        RunError: there are none, or another process has replaced the ranker's files.
    """
    if isinstance(context.users, WithheldUsers):
        raise RunError(
            "update: this ranker was shared without its users' histories, so there is nothing to add to; update it "
            "where it was trained, or get it with histories from its owner"
        )
    if context.known is None:
        raise RunError(
            "this ranker was saved by an older version, which kept no data to add to; train again once"
        )
    with activity("read what is known"):
        known = context.known.read()
    if (known.num_users, known.num_items) != (len(context.users), len(context.catalogue)):
        raise RunError("the ranker's files have been replaced since it was loaded; load it again")
    return known


def _put_vectors(
    context: Context, data: HeteroData, known: Interactions, whole: Interactions
) -> None:
    """Put the encoder's vectors of the items' texts on a graph; only new texts are encoded."""
    before = context.data["item"].get("x")
    if before is None:
        return
    old, new = item_texts(known.items), item_texts(whole.items)
    x = torch.zeros(len(new), before.shape[1])
    x[: len(old)] = before.cpu()
    rows = [n for n, text in enumerate(new) if n >= len(old) or text != old[n]]
    encoder = context.encoder
    if rows and encoder is not None:
        x[rows] = torch.from_numpy(encoder.encode([new[n] for n in rows]))
    data["item"].x = x


def extend_scorer(scorer: PathScorer, context: Context, graph: GraphPaths) -> PathScorer:
    """The scorer for a graph with more nodes; what it learned stays.

    Args:
        scorer: of before.
        context: of before.
        graph: the new one.

    Raises:
        ConfigError: it has rows for nodes and no :meth:`~lkgrag.scorer.PathScorer.extend`.
    """
    config = context.config
    grown = copy.deepcopy(scorer).cpu()
    number = {t: int(graph.data[t].num_nodes or 0) for t in graph.data.node_types}
    with guard_custom_code(
        lambda e: f"{option_of(scorer)}: extend() fails ({type(e).__name__}: {e})"
    ):
        grown.extend(number)
    new = new_scorer(config.scorer, config.paths.search, graph, config.seed)
    state, fresh = grown.state_dict(), new.state_dict()
    for name, value in fresh.items():
        shape = None if name not in state else list(state[name].shape)
        if shape != list(value.shape):
            raise ConfigError(
                f"{option_of(scorer)}: '{name}' has the shape {shape}, but {list(value.shape)} with the new nodes: "
                "give the class a method extend(num_nodes), which adds rows for them, or train again"
            )
    new.load_state_dict(state)
    return new.eval()


def _grow_requests(
    requests: RequestModel | None, whole: Interactions, vectors: np.ndarray | None
) -> RequestModel | None:
    """The model of requests for all items; its learned weights stay."""
    if requests is None:
        return None
    fresh = RequestModel.of(whole.items, vectors)
    return replace(fresh, weights=requests.weights, in_ranking=requests.in_ranking)
