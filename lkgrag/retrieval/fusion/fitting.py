"""The weights of fusion and of the graph's components, fitted on events that the systems have not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.splits.base import Events
from lkgrag.retrieval.fusion.corner_fit import fit_corners
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.fusion.pools import Pools, make_pools
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.fusion.weights import fit_weights
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.ranks import histories_of
from lkgrag.utils.progress import activity, rename_activity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.retrieval.fusion.pools import Features

#: Most events that weights are fitted on; some thirty weights need no more.
WEIGHT_EVENTS = 3000


@dataclass(frozen=True)
class Fold:
    """Systems, and held-back events that they have not seen."""

    base: FusedRetriever
    events: Events

    def of(self, users: NDArray[np.bool_]) -> Fold:
        """The events of some users only, bool ``[num_users]``."""
        return replace(self, events=self.events[users[self.events.user]])

    def only(self, events: Events) -> Fold:
        """Only those of the events that are among others."""
        wanted = {*zip(events.user.tolist(), events.position.tolist(), strict=True)}
        mine = zip(self.events.user.tolist(), self.events.position.tolist(), strict=True)
        keep = np.fromiter((event in wanted for event in mine), bool, len(self.events))
        return replace(self, events=self.events[keep])

    def sample(self, number: int, seed: int) -> Fold:
        """At most ``number`` events, drawn at random; they keep their order."""
        if len(self.events) <= number:
            return self
        rng = np.random.default_rng([seed, 0xF0])
        drawn = rng.choice(len(self.events), number, replace=False)
        return replace(self, events=self.events[np.sort(drawn)])


@dataclass(frozen=True)
class Weights:
    """The few weights of fusion, apart from the systems that they are applied to.

    Attributes:
        fusion: of the systems' log-probabilities, by count and length.
        graph: of the graph's components.
        without: of all systems but one, fitted alike; None if none was to be left out.
    """

    fusion: CornerWeights
    graph: dict[str, float]
    without: CornerWeights | None = None

    def apply(self, base: FusedRetriever) -> FusedRetriever:
        """The same systems with these weights."""
        graph = _graph(base)
        systems = {**base.systems, graph.name: graph.reweighted(self.graph)}
        return FusedRetriever(systems, self.fusion, base.mask_seen, base.custom, base.new_items)

    def apply_without(self, base: FusedRetriever) -> FusedRetriever | None:
        """The same systems with the weights without one of them; None if none was to be left out."""
        return None if self.without is None else replace(self, fusion=self.without).apply(base)


@activity("weigh the systems")
def fit_fusion(
    folds: Sequence[Fold],
    interactions: Interactions,
    seed: int,
    left_out: str | None = None,
    users: str = "",
) -> Weights:
    """Fit one set of weights on the held-back events of all folds.

    The graph's components are weighed first, then all systems.

    Args:
        folds: at least one. Of more than :data:`WEIGHT_EVENTS` events, a sample is used.
        interactions: the sequences.
        seed: of the sample.
        left_out: a system whose worth is asked: weights without it are fitted, too, on the same events.
        users: whose events these are, for lines of progress.

    Returns:
        The fitted weights; those of the first fold's systems where there is no event.
    """
    if users:
        rename_activity(f"weigh the systems for {users}")
    base, graph = folds[0].base, _graph(folds[0].base)
    total = sum(len(fold.events) for fold in folds)
    if not total:
        return Weights(base.corners, dict(graph.weights))
    share = min(1.0, WEIGHT_EVENTS / total)
    folds = [fold.sample(round(share * len(fold.events)), seed) for fold in folds]

    def pools(
        features_of: Callable[[FusedRetriever], Features], names: list[str], leaders: list[str]
    ) -> Pools:
        return Pools.concat(
            [
                make_pools(
                    features_of(fold.base),
                    names,
                    leaders,
                    histories_of(interactions, fold.events),
                    fold.events,
                    fold.base.popularity,
                    fold.base.mask_seen,
                )
                for fold in folds
            ]
        )

    components = pools(lambda b: _graph(b).features, graph.components, graph.leaders)
    of_graph = fit_weights(components, dict.fromkeys(graph.components, 0.0))
    names = list(base.weights)
    systems = pools(lambda b: Weights(b.corners, of_graph).apply(b).features, names, names)
    fitted = fit_corners(systems, base.weights, seed, any_size=base.custom)
    others = [name for name in names if name != left_out]
    if len(others) in (0, len(names)):
        return Weights(fitted, of_graph)
    even = dict.fromkeys(others, 1.0 / len(others))
    without = fit_corners(systems.of(others), even, seed, any_size=base.custom)
    return Weights(fitted, of_graph, without)


def _graph(base: FusedRetriever) -> GraphRetriever:
    graph = base.systems[GraphRetriever.name]
    assert isinstance(graph, GraphRetriever)
    return graph
