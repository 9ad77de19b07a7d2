"""Stage one, twice: for serving and testing, and without the windows that stage two learns on.

A stage two that learns on lists of a retriever that has already seen the answers learns to trust it
too much. So the examples' candidates come from a stage one that was fitted without them, and even its
fusion weights come from other users' windows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lkgrag.data.splits import Events
from lkgrag.errors import ConfigError, nearest
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.fusion import SYSTEMS, FusedRetriever
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.lru_training import fit_lrurec
from lkgrag.retrieval.lrurec import LRURecRetriever
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.ranking import histories_of, ndcg, recall
from lkgrag.retrieval.weights import fit_weights, make_pools

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits import Split
    from lkgrag.retrieval.lru_state import Progress

#: The weights of the lists of one fold of users are fitted on the others'.
FOLDS = 2
#: Events that weights are fitted on at most; some thirty weights need no more.
WEIGHT_EVENTS = 3000


@dataclass(frozen=True)
class StageOne:
    """What the rest of the program takes from stage one.

    Attributes:
        retriever: fitted on all training interactions; proposes for anyone.
        examples: lists for the held-back windows, from a stage one that has not seen them.
        val: lists for the validation events, by ``retriever``.
        test: lists for the test events, by ``retriever``.
        fit_end: int64 ``[num_users]``, training interactions behind ``examples``.
        report: weights and figures.
    """

    retriever: FusedRetriever
    examples: CandidateLists
    val: CandidateLists
    test: CandidateLists
    fit_end: NDArray[np.int64]
    report: dict[str, Any]


class FitLRURec(Protocol):
    """Trains LRURec on the first ``train_end[user]`` items; see :func:`fit_lrurec`."""

    def __call__(
        self, train_end: NDArray[np.int64], *, val: Events | None, epochs: int | None
    ) -> tuple[LRURecRetriever, Progress]:
        """The trained retriever, and how its training went."""


def fit_stage_one(
    interactions: Interactions,
    split: Split,
    kg_for: Callable[[NDArray[np.int64]], HeteroData],
    config: RetrievalConfig,
    seed: int,
    lrurec_for: FitLRURec | None = None,
) -> StageOne:
    """Fit stage one in full and cross-fitted, and propose for all events.

    Nothing of the test is in any fit. Validation decides when the full LRURec stops, and nothing
    else. The cross-fitted LRURec runs as many epochs as the full one needed: that number is all it
    takes from a fit that knew the held-back items. The weights of fusion are fitted on held-back
    events: for serving on all, for ``examples`` on those of other users.

    Args:
        interactions: the sequences.
        split: what trains, validates and tests.
        kg_for: gives the graph for a ``train_end``.
        config: options of retrieval.
        seed: of LRURec, of the users held back and of the folds.
        lrurec_for: trains LRURec; by default it is trained here, on the CPU, without checkpoints.

    Raises:
        ConfigError: ``retrieval.systems`` is empty or names an unknown system.
    """
    check_systems(config)
    fit = lrurec_for or partial(fit_lrurec, interactions, config=config, seed=seed)
    lrurec, full = fit(split.train_end, val=split.val, epochs=None)
    fit_end, held = split.holdback(
        interactions, config.crossfit_window, config.crossfit_users, seed
    )
    base = fit_systems(interactions, split.train_end, kg_for(split.train_end), lrurec, config)
    # With nothing held back the cross-fitted stage one would be the same.
    other = base
    if len(held):
        crossed, _ = fit(fit_end, val=None, epochs=full.best_epoch)
        other = fit_systems(interactions, fit_end, kg_for(fit_end), crossed, config)
    weights = fit_fusion(other, interactions, held, seed)
    retriever = weights.apply(base)
    if config.crossfit:
        examples = crossfitted_lists(other, interactions, held, config.k, seed)
    else:
        examples = candidate_lists(retriever, interactions, held, config.k)
        fit_end = split.train_end
    val = candidate_lists(retriever, interactions, split.val, config.k)
    test = candidate_lists(retriever, interactions, split.test, config.k)
    report = {
        "lrurec_epochs": full.best_epoch,
        "lrurec_curve": full.curve,
        "fusion": weights.fusion,
        "graph": weights.graph,
        "examples": summary(examples),
        "val": summary(val),
        "test": summary(test),
    }
    return StageOne(retriever, examples, val, test, fit_end, report)


def check_systems(config: RetrievalConfig) -> None:
    """Refuse what cannot be fused, before anything is trained.

    Raises:
        ConfigError: ``retrieval.systems`` is empty or names an unknown system.
    """
    for name in config.systems:
        if name not in SYSTEMS:
            raise ConfigError(
                f"retrieval.systems: no system '{name}'.{nearest(name, SYSTEMS)} "
                f"There are: {', '.join(SYSTEMS)}"
            )
    if not config.systems:
        raise ConfigError(f"retrieval.systems is empty; choose from {', '.join(SYSTEMS)}")


def fit_systems(
    interactions: Interactions,
    train_end: NDArray[np.int64],
    data: HeteroData,
    lrurec: LRURecRetriever,
    config: RetrievalConfig,
) -> FusedRetriever:
    """Count everything on the first ``train_end[user]`` items; weights are even until fitted.

    Args:
        interactions: the sequences.
        train_end: int64 ``[num_users]``.
        data: the graph for the same ``train_end``.
        lrurec: trained on the same interactions.
        config: ``systems`` are fused; all four are always there, to be reported.
    """
    popularity = PopularityRetriever.fit(interactions, train_end)
    itemitem = ItemItemRetriever.fit(interactions, train_end, config.decay)
    graph = GraphRetriever.fit(data, itemitem, popularity, config.decay)
    systems: dict[str, Retriever] = {s.name: s for s in (lrurec, popularity, itemitem, graph)}
    even = {name: 1.0 / len(config.systems) for name in config.systems}
    return FusedRetriever(systems, even, config.mask_seen)


@dataclass(frozen=True)
class Weights:
    """The few weights of fusion, apart from the systems that they are applied to.

    Attributes:
        fusion: of the systems' log-probabilities.
        graph: of the graph's components.
    """

    fusion: dict[str, float]
    graph: dict[str, float]

    def apply(self, base: FusedRetriever) -> FusedRetriever:
        """The same systems with these weights."""
        return FusedRetriever(_with_graph(base, self.graph), self.fusion, base.mask_seen)


def _with_graph(base: FusedRetriever, weights: dict[str, float]) -> dict[str, Retriever]:
    graph = base.systems[GraphRetriever.name]
    assert isinstance(graph, GraphRetriever)
    return {**base.systems, graph.name: graph.reweighted(weights)}


def fit_fusion(
    base: FusedRetriever, interactions: Interactions, events: Events, seed: int
) -> Weights:
    """Fit the weights on events that the systems have not seen.

    Args:
        base: the systems.
        interactions: the sequences.
        events: held-back events; of more than :data:`WEIGHT_EVENTS`, so many are drawn with ``seed``.
        seed: of the draw.
    """
    graph = base.systems[GraphRetriever.name]
    assert isinstance(graph, GraphRetriever)
    if not len(events):
        return Weights(dict(base.weights), dict(graph.weights))
    events = _drawn(events, WEIGHT_EVENTS, seed)
    histories = histories_of(interactions, events)
    common = (histories, events.target, base.popularity, base.mask_seen)
    pools = make_pools(graph.features, graph.components, graph.leaders, *common)
    of_graph = fit_weights(pools, dict.fromkeys(graph.components, 0.0))
    fused = FusedRetriever(_with_graph(base, of_graph), base.weights, base.mask_seen)
    names = list(base.weights)
    pools = make_pools(fused.features, names, names, *common)
    return Weights(fit_weights(pools, base.weights), of_graph)


def _drawn(events: Events, limit: int, seed: int) -> Events:
    if len(events) <= limit:
        return events
    chosen = np.random.default_rng([seed, 0xF0]).choice(len(events), limit, replace=False)
    return events[np.sort(chosen)]


def crossfitted_lists(
    base: FusedRetriever, interactions: Interactions, events: Events, k: int, seed: int
) -> CandidateLists:
    """Lists for held-back events, with weights fitted on the events of other users only.

    Args:
        base: systems fitted without the events.
        interactions: the sequences.
        events: held-back events.
        k: candidates an event.
        seed: of the folds of users.
    """
    fold = np.random.default_rng([seed, 0xF1]).integers(0, FOLDS, interactions.num_users)
    parts = []
    for number in range(FOLDS):
        inside = fold[events.user] == number
        weights = fit_fusion(base, interactions, events[~inside], seed)
        parts.append(candidate_lists(weights.apply(base), interactions, events[inside], k))
    return CandidateLists.concat(parts)


def summary(lists: CandidateLists) -> dict[str, dict[str, float]]:
    """NDCG@10 and Recall@10 and @20 of every system over all events."""
    return {
        name: {"ndcg@10": ndcg(r, 10), "recall@10": recall(r, 10), "recall@20": recall(r, 20)}
        for name, r in lists.ranks.items()
    }
