r"""Few non-negative weights over log-probabilities, by multinomial logistic regression.

:math:`p(j) \propto \exp \sum_s w_s \log p_s(j)` over a pool of items: those that any leading system ranks high.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.fusion.losses import PoolLosses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.pools import Pools

#: Pull of the weights towards their start, in units of events.
RIDGE = 10.0
#: Smaller weights are set to 0: they change no list and cost time.
NEGLIGIBLE = 0.01


def fit_weights(
    pools: Pools,
    centre: dict[str, float],
    ridge: float = RIDGE,
    any_size: Collection[str] = (),
) -> dict[str, float]:
    """Fit weights that make the targets likely, pulled towards ``centre``.

    Args:
        pools: the events.
        centre: where the weights start and are pulled to.
        ridge: strength of the pull, in events.
        any_size: systems whose scores may be in any unit. Their weights are pulled, and compared to
            :data:`NEGLIGIBLE`, in units of their spread.

    Returns:
        A non-negative weight of each system; ``centre`` where there is no event.
    """
    if not len(pools):
        return dict(centre)
    middle = np.array([centre[n] for n in pools.names])
    unit = unit_of(pools, any_size)
    features = np.divide(pools.features, unit, dtype=np.float32)
    losses_of = PoolLosses.of(pools, features, CornerWeights.constant(centre))

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        # One weight stands at all four corners.
        losses, slope = losses_of(np.repeat(weights[:, None], 4, 1))
        away = weights - middle
        return float(losses.sum() + ridge * away @ away), slope.sum(1) + 2 * ridge * away

    # Only here: a saved ranker is loaded without SciPy's optimisers.
    from scipy.optimize import minimize

    bounds = [(0.0, None)] * len(middle)
    fitted = minimize(loss, middle, jac=True, method="L-BFGS-B", bounds=bounds).x
    kept = np.where(fitted < NEGLIGIBLE, 0.0, fitted) / unit
    return dict(zip(pools.names, kept.tolist(), strict=True))


def unit_of(pools: Pools, any_size: Collection[str]) -> NDArray[np.float64]:
    """The unit of each system's scores, float64 ``[S]``: their spread for those of any unit, 1 for others."""
    return np.array([_spread(pools, n) if n in any_size else 1.0 for n in pools.names])


def _spread(pools: Pools, name: str) -> float:
    """How far a system's high scores lie above the middle of a pool; low scores do not count."""
    values = pools.features[:, pools.names.index(name)].astype(np.float64)
    above = [np.maximum(v - np.median(v), 0.0) for v in np.split(values, pools.start[1:])]
    return float(np.sqrt(np.mean(np.concatenate(above) ** 2))) or 1.0
