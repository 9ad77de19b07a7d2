"""Stage one, more than once: for serving and testing, and without windows that stage two learns on.

A stage two that learns on lists of a retriever that has already seen the answers learns to trust it
too much. So the examples' candidates come from a stage one that was fitted without them, and even its
fusion weights come from other users' windows. With several folds of users each such stage one misses
the windows of one fold only, and errs nearly as the one that serves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lkgrag.data.splits.base import Events
from lkgrag.errors import ConfigError
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.custom import FitOwn, fit_own, own_systems, resolve_system
from lkgrag.retrieval.ease import DEFAULT_ITEMS, EASERetriever, check_size
from lkgrag.retrieval.fusion.retriever import SYSTEMS, FusedRetriever
from lkgrag.retrieval.fusion.weights import Pools, fit_weights, make_pools
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever
from lkgrag.retrieval.lrurec.training import fit_lrurec
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.ranks import histories_of, ndcg, recall

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Split
    from lkgrag.retrieval.lrurec.state import Progress

#: The weights of the lists of one half of the users are fitted on the other's.
HALVES = 2
#: Events that weights are fitted on at most; some thirty weights need no more.
WEIGHT_EVENTS = 3000


@dataclass(frozen=True)
class StageOne:
    """What the rest of the program takes from stage one.

    Attributes:
        retriever: fitted on all training interactions; proposes for anyone.
        examples: lists for the held-back windows, each from a stage one that has not seen it.
        val: lists for the validation events, by ``retriever``.
        test: lists for the test events, by ``retriever``.
        fit_end: int64 ``[num_users]``, training interactions without any window: what the graph of the
            examples' paths may hold.
        report: weights and figures.
    """

    retriever: FusedRetriever
    examples: CandidateLists
    val: CandidateLists
    test: CandidateLists
    fit_end: NDArray[np.int64]
    report: dict[str, Any]


@dataclass(frozen=True)
class Fold:
    """Systems, and held-back events that they have not seen."""

    base: FusedRetriever
    events: Events

    def of(self, users: NDArray[np.bool_]) -> Fold:
        """The events of some users only, bool ``[num_users]``."""
        return replace(self, events=self.events[users[self.events.user]])


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
    own_for: FitOwn | None = None,
) -> StageOne:
    """Fit stage one in full and cross-fitted, and propose for all events.

    Nothing of the test is in any fit. Validation decides when the full LRURec stops, and nothing
    else. A cross-fitted LRURec runs as many epochs as the full one needed: that number is all it
    takes from a fit that knew the held-back items. The weights of fusion are fitted on held-back
    events: for serving on all, for ``examples`` on those of other users.

    Args:
        interactions: the sequences.
        split: what trains, validates and tests.
        kg_for: gives the graph for a ``train_end``.
        config: options of retrieval.
        seed: of LRURec, of the users held back and of the folds.
        lrurec_for: trains LRURec; by default it is trained here, on the CPU, without checkpoints.
        own_for: fits the retrievers of one's own; by default here, on the CPU.

    Raises:
        ConfigError: ``retrieval.systems`` is empty or names an unknown system, or a retriever of one's own
            does not keep the contract.
        DataError: it names ``ease``, and there are too many items for it.
    """
    check_systems(config)
    if EASERetriever.name in fused_systems(config, interactions.num_items):
        check_size(interactions.num_items)
    fit = lrurec_for or partial(fit_lrurec, interactions, config=config, seed=seed)
    fit_own_for = own_for or partial(fit_own, interactions, config, seed)

    def own(train_end: NDArray[np.int64]) -> list[Retriever]:
        return [
            fit_own_for(target, train_end, kg_for(train_end))
            for target in own_systems(config).values()
        ]

    # First, since they may fail.
    own_full = own(split.train_end)
    lrurec, full = fit(split.train_end, val=split.val, epochs=None)
    fit_end, held = split.holdback(
        interactions, config.crossfit_window, config.crossfit_users, seed
    )
    base = fit_systems(
        interactions, split.train_end, kg_for(split.train_end), lrurec, config, own_full
    )
    # With nothing held back a cross-fitted stage one would be the same.
    folds = [] if len(held) else [Fold(base, held)]
    for out in user_folds(interactions.num_users, config.crossfit_folds, seed) if len(held) else ():
        end = np.where(out, fit_end, split.train_end)
        crossed, _ = fit(end, val=None, epochs=full.best_epoch)
        other = fit_systems(interactions, end, kg_for(end), crossed, config, own(end))
        folds.append(Fold(other, held).of(out))
    weights = fit_fusion(folds, interactions, seed)
    retriever = weights.apply(base)
    if config.crossfit:
        examples = crossfitted_lists(folds, interactions, config.k, seed)
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


def user_folds(num_users: int, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Users in random parts, a mask ``[num_users]`` each."""
    drawn = np.random.default_rng([seed, 0xF2]).integers(0, folds, num_users)
    return [drawn == number for number in range(folds)]


def check_systems(config: RetrievalConfig) -> None:
    """Refuse what cannot be fused or folded, before anything is trained.

    Raises:
        ConfigError: ``retrieval.systems`` is empty or names an unknown system, ``retrieval.crossfit_folds``
            is below 1, or a retriever of one's own, or its options, do not keep the contract.
    """
    if config.crossfit_folds < 1:
        raise ConfigError(
            f"retrieval.crossfit_folds must be at least 1, got {config.crossfit_folds}"
        )
    if config.systems is not None and not config.systems:
        raise ConfigError(f"retrieval.systems is empty; choose from {', '.join(SYSTEMS)}")
    own_systems(config)


def fused_systems(config: RetrievalConfig, num_items: int) -> list[str]:
    """The systems that are fused: as configured, by default all that the catalogue is not too large for."""
    if config.systems is not None:
        return [resolve_system(target).name for target in config.systems]
    return [n for n in SYSTEMS if n != EASERetriever.name or num_items <= DEFAULT_ITEMS]


def fit_systems(
    interactions: Interactions,
    train_end: NDArray[np.int64],
    data: HeteroData,
    lrurec: LRURecRetriever,
    config: RetrievalConfig,
    own: Sequence[Retriever] = (),
) -> FusedRetriever:
    """Count everything on the first ``train_end[user]`` items; weights are even until fitted.

    Args:
        interactions: the sequences.
        train_end: int64 ``[num_users]``.
        data: the graph for the same ``train_end``.
        lrurec: trained on the same interactions.
        config: of its systems those fused are weighed; all but ``ease`` are always there, to be reported.
        own: retrievers of one's own, fitted on the same interactions.
    """
    popularity = PopularityRetriever.fit(interactions, train_end)
    itemitem = ItemItemRetriever.fit(interactions, train_end, config.decay)
    graph = GraphRetriever.fit(data, itemitem, popularity, config.decay)
    found: list[Retriever] = [lrurec, popularity, itemitem, graph]
    fused = fused_systems(config, interactions.num_items)
    if EASERetriever.name in fused:
        found.append(EASERetriever.fit(interactions, train_end))
    systems = {system.name: system for system in [*found, *own]}
    even = {name: 1.0 / len(fused) for name in fused}
    return FusedRetriever(systems, even, config.mask_seen, own_systems(config))


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
        graph = _graph(base)
        systems = {**base.systems, graph.name: graph.reweighted(self.graph)}
        return FusedRetriever(systems, self.fusion, base.mask_seen, base.own)


def _graph(base: FusedRetriever) -> GraphRetriever:
    graph = base.systems[GraphRetriever.name]
    assert isinstance(graph, GraphRetriever)
    return graph


def fit_fusion(folds: Sequence[Fold], interactions: Interactions, seed: int) -> Weights:
    """Fit one set of weights on events that the systems beside them have not seen.

    Args:
        folds: at least one; of more than :data:`WEIGHT_EVENTS` events, so many are drawn.
        interactions: the sequences.
        seed: of the draw.
    """
    base, graph = folds[0].base, _graph(folds[0].base)
    total = sum(len(fold.events) for fold in folds)
    if not total:
        return Weights(dict(base.weights), dict(graph.weights))
    share = min(1.0, WEIGHT_EVENTS / total)
    folds = [_drawn(fold, round(share * len(fold.events)), seed) for fold in folds]

    def pools(
        feature: Callable[[FusedRetriever], Any], names: list[str], leaders: list[str]
    ) -> Pools:
        return Pools.concat(
            [
                make_pools(
                    feature(fold.base),
                    names,
                    leaders,
                    histories_of(interactions, fold.events),
                    fold.events.target,
                    fold.base.popularity,
                    fold.base.mask_seen,
                )
                for fold in folds
            ]
        )

    found = pools(lambda b: _graph(b).features, graph.components, graph.leaders)
    of_graph = fit_weights(found, dict.fromkeys(graph.components, 0.0))
    names = list(base.weights)
    found = pools(lambda b: Weights(b.weights, of_graph).apply(b).features, names, names)
    return Weights(fit_weights(found, base.weights, any_size=base.own), of_graph)


def _drawn(fold: Fold, number: int, seed: int) -> Fold:
    events = fold.events
    if len(events) <= number:
        return fold
    chosen = np.random.default_rng([seed, 0xF0]).choice(len(events), number, replace=False)
    return replace(fold, events=events[np.sort(chosen)])


def crossfitted_lists(
    folds: Sequence[Fold], interactions: Interactions, k: int, seed: int
) -> CandidateLists:
    """Lists for held-back events, with weights fitted on the events of other users only.

    Args:
        folds: systems, each with events that they were fitted without.
        interactions: the sequences.
        k: candidates an event.
        seed: of the halves of users.
    """
    parts = []
    halves = np.random.default_rng([seed, 0xF1]).integers(0, HALVES, interactions.num_users)
    for number in range(HALVES):
        inside = halves == number
        weights = fit_fusion([fold.of(~inside) for fold in folds], interactions, seed)
        for fold in folds:
            mine = fold.of(inside)
            parts.append(candidate_lists(weights.apply(fold.base), interactions, mine.events, k))
    return CandidateLists.concat(parts)


def summary(lists: CandidateLists) -> dict[str, dict[str, float]]:
    """NDCG@10 and Recall@10 and @20 of every system over all events."""
    return {
        name: {"ndcg@10": ndcg(r, 10), "recall@10": recall(r, 10), "recall@20": recall(r, 20)}
        for name, r in lists.ranks.items()
    }
