"""Rules for new and known items in one ranking: fusion's weights, and what items without interactions get instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.fusion.retriever import FusedRetriever

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.corners import CornerWeights
    from lkgrag.retrieval.fusion.pools import Pools


@dataclass(frozen=True)
class Rule:
    """Weights of fusion, with others for items without interactions where ``new`` is given.

    Attributes:
        corners: as stage one has them.
        new: weights float64 ``[S]`` of the systems, and a constant, for items without interactions.
        new_items: as ``retrieval.new_items``.
    """

    corners: CornerWeights
    new: NDArray[np.float64] | None = None
    new_items: float = 0.0

    def __call__(
        self,
        fused: FusedRetriever,
        features: dict[str, NDArray[np.float32]],
        histories: list[NDArray[np.int64]],
    ) -> NDArray[np.float32]:
        """Fused scores of all items, float32 ``[B, I]``."""
        weighed = FusedRetriever(fused.systems, self.corners, new_items=self.new_items)
        scores = weighed.fuse(features, histories)
        if self.new is not None:
            items = np.flatnonzero(fused.popularity == 0)
            columns = [features[name][:, items] for name in self.corners.corners]
            own = np.tensordot(self.new[:-1], np.stack(columns), 1) + self.new[-1]
            scores[:, items] = own.astype(np.float32)
        return scores


def fit_new(pools: Pools, corners: CornerWeights, ridge: float = 10.0) -> Rule:
    """Fit weights of items without interactions beside given weights of all others.

    Args:
        pools: events, some of whose targets have no interactions.
        corners: of the others; the new ones are pulled to those of rare items.
        ridge: strength of the pull, in events.
    """
    from scipy.optimize import minimize

    names = list(corners.corners)
    common = corners.commonness(pools.count)[:, None]
    mature = np.repeat(corners.maturity(pools.length), pools.size)[:, None]
    table = np.stack([corners.corners[n] for n in names])
    low = table[:, 0, 0] + mature * (table[:, 0, 1] - table[:, 0, 0])
    high = table[:, 1, 0] + mature * (table[:, 1, 1] - table[:, 1, 0])
    features = pools.of(names).features
    known = (features * (low + common * (high - low))).sum(1)
    is_new = pools.count == 0
    design = np.concatenate([features, np.ones((len(features), 1), np.float32)], 1)
    design[~is_new] = 0
    start = np.append(table[:, 0].mean(1), 0.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = np.where(is_new, design @ weights, known).astype(np.float32)
        losses, chance = list_losses(score, pools)
        away = weights - start
        # The constant is free.
        away[-1] = 0
        slope = chance @ design - design[pools.target].sum(0, dtype=np.float64) + 2 * ridge * away
        return float(losses.sum() + ridge * away @ away), slope

    bounds = [(0.0, None)] * len(names) + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Rule(corners, np.asarray(found.x, np.float64))


def list_losses(
    score: NDArray[np.float32], pools: Pools
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Cross-entropy of each pool's target, in nats.

    Args:
        score: of the pools' items, ``[N]``.
        pools: ``E`` events.

    Returns:
        The losses, float64 ``[E]``, and each item's probability within its pool, float32 ``[N]``.
    """
    exact, size = score.astype(np.float64), pools.size
    peak = np.maximum.reduceat(exact, pools.start)
    chance = np.exp(exact - np.repeat(peak, size))
    total = np.add.reduceat(chance, pools.start)
    chance /= np.repeat(total, size)
    return peak + np.log(total) - exact[pools.target], chance.astype(np.float32)
