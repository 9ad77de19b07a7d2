r"""The fit of weights that depend on an item's count and on the history's length.

The corners of one system are pulled towards one another. Cross-validation over users chooses how strongly, and
whether the weights may depend on anything at all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.fusion.losses import PoolLosses
from lkgrag.retrieval.fusion.weights import NEGLIGIBLE, RIDGE, fit_weights, unit_of
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.utils.standard_errors import standard_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.pools import Pools

#: Strengths of the pull of a system's corners towards one another, in events, strongest first.
STRENGTHS = (100.0, 10.0, 1.0)
#: Parts of the users, for the choice of the strength.
FOLDS = 3
#: Quantiles of the targets' counts and of the histories' lengths between which weights may change.
COUNTS, LENGTHS = (0.02, 0.98), (0.05, 0.95)
#: Differences between two neighbouring corners, of the corners in the order of a flat ``[2, 2]``.
_STEPS = np.array([[-1, 0, 1, 0], [0, -1, 0, 1], [-1, 1, 0, 0], [0, 0, -1, 1]], float)
#: The pull of the corners, a quadratic form.
_PULL = _STEPS.T @ _STEPS / 2
#: The square of the corners' mean, a quadratic form.
_MEAN = np.full((4, 4), 1 / 16)


def fit_corners(
    pools: Pools, centre: dict[str, float], seed: int, any_size: Collection[str] = ()
) -> CornerWeights:
    """Fit weights by count and length; constant ones where these do not predict other users better.

    They must lower the loss of the users left out by more than one standard error. A single system keeps a
    constant weight, and so its order. A system whose constant weight is 0 stays out, since it costs time; only
    popularity, which costs none, may come back.

    Args:
        pools: the events.
        centre: where the mean of a system's corners is pulled to.
        seed: of the users' folds.
        any_size: systems whose scores may be in any unit; see :func:`~lkgrag.retrieval.fusion.weights.fit_weights`.

    Returns:
        Non-negative weights; ``centre`` where there is no event.
    """
    constant = fit_weights(pools, centre, any_size=any_size)
    names = [n for n in pools.names if constant[n] > 0 or n == PopularityRetriever.name]
    if not len(pools) or len(names) < 2:
        return CornerWeights.constant(constant)
    ends = _ends(pools.count[pools.target], COUNTS), _ends(pools.length, LENGTHS)
    start = CornerWeights(*ends, CornerWeights.constant({n: constant[n] for n in names}).corners)
    strength = _choose_strength(pools.of(names), start, centre, seed, any_size)
    if strength is None or all(low == high for low, high in ends):
        return CornerWeights.constant(constant)
    fitted = _fit(pools.of(names), start, centre, strength, any_size)
    nothing = CornerWeights.constant(dict.fromkeys(pools.names, 0.0)).corners
    return replace(fitted, corners={**nothing, **fitted.corners})


def _choose_strength(
    pools: Pools,
    start: CornerWeights,
    centre: dict[str, float],
    seed: int,
    any_size: Collection[str],
) -> float | None:
    """The strength of the pull with the lowest loss on the users left out; None for constant weights."""
    drawn = np.random.default_rng([seed, 0xF3]).integers(0, FOLDS, int(pools.user.max()) + 1)
    fold = drawn[pools.user]
    losses = np.zeros((1 + len(STRENGTHS), len(pools)))
    for number in np.unique(fold):
        out = fold == number
        if out.all():
            return None
        learn, held = pools[~out], pools[out]
        fitted = CornerWeights.constant(fit_weights(learn, centre, any_size=any_size))
        losses[0, out] = _held_out(fitted, held)
        for row, strength in enumerate(STRENGTHS, 1):
            # From strong to weak, each fit starts at the last.
            fitted = _fit(learn, replace(start, corners=fitted.corners), centre, strength, any_size)
            losses[row, out] = _held_out(fitted, held)
    # Among equal losses the first one wins, which has the strongest pull.
    best = int(losses[1:].mean(1).argmin())
    gain = losses[0] - losses[1 + best]
    return STRENGTHS[best] if gain.mean() > standard_error(gain, pools.user) else None


def _ends(values: NDArray[np.int64], quantiles: tuple[float, float]) -> tuple[float, float]:
    """Two quantiles, at least 1."""
    low, high = np.quantile(np.maximum(values, 1), quantiles).tolist()
    return low, high


def _held_out(weights: CornerWeights, pools: Pools) -> NDArray[np.float64]:
    """Cross-entropy of each event, float64 ``[E]``."""
    table = np.stack([weights.corners[n].ravel() for n in pools.names])
    return PoolLosses.of(pools, pools.features, weights)(table)[0]


def _fit(
    pools: Pools,
    start: CornerWeights,
    centre: dict[str, float],
    strength: float,
    any_size: Collection[str],
) -> CornerWeights:
    """Weights with the ends of ``start``, fitted from its corners on."""
    unit = unit_of(pools, any_size)[:, None]
    features = np.divide(pools.features, unit.T, dtype=np.float32)
    losses_of = PoolLosses.of(pools, features, start)
    middle = np.array([[centre[n]] for n in pools.names])

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = flat.reshape(-1, 4)
        losses, slope = losses_of(table)
        away = table - middle
        pull = away @ (RIDGE * _MEAN + strength * _PULL)
        return float(losses.sum() + (pull * away).sum()), (slope + 2 * pull).ravel()

    # Only here: a saved ranker is loaded without SciPy's optimisers.
    from scipy.optimize import minimize

    first = np.stack([start.corners[n].ravel() for n in pools.names]) * unit
    bounds = [(0.0, None)] * first.size
    # Differences of a thousandth of a nat in all events decide nothing.
    options = {"ftol": 1e-7}
    found = minimize(
        loss, first.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).x.reshape(-1, 4)
    # Only as a whole: a corner of weight 0 beside others saves no time.
    found[(found < NEGLIGIBLE).all(1)] = 0.0
    corners = (found / unit).reshape(-1, 2, 2)
    return CornerWeights(start.count, start.length, dict(zip(pools.names, corners, strict=True)))
