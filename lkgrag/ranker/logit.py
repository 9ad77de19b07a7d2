"""A conditional logit with non-negative weights and a ridge, whose strength cross-validation over users chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

#: Strengths of the ridge that the fit tries, strongest first. A strength is the number of lists whose
#: evidence moves the weight of a standardised term half of its way.
STRENGTHS = (1e6, 1000.0, 300.0, 100.0, 30.0, 10.0)
#: The least weight of the prior, so that something always ranks the candidates.
SMALLEST = 1e-3


def _cross_entropy(
    w: NDArray[np.float64], x: NDArray[np.float64], m: NDArray[np.bool_], y: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Cross-entropy of the weighted terms ``[3, E, C]``, summed, in nats, and its gradient ``[3]``."""
    log_p = _log_softmax(w, x, m)
    rows = np.arange(len(y))
    gradient = (x * np.exp(log_p)).sum((1, 2)) - x[:, rows, y].sum(1)
    return float(-log_p[rows, y].sum()), gradient


def _log_softmax(
    w: NDArray[np.float64], x: NDArray[np.float64], m: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Log-probability of each candidate under the weighted terms, ``[E, C]``."""
    score = np.where(m, np.tensordot(w, x, 1), -np.inf)
    return np.asarray(score - logsumexp(score, axis=1, keepdims=True))


def _list_losses(
    w: NDArray[np.float64], x: NDArray[np.float64], m: NDArray[np.bool_], y: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cross-entropy of each list, ``[E]``, in nats."""
    return np.asarray(-_log_softmax(w, x, m)[np.arange(len(y)), y])


@dataclass(frozen=True)
class RidgeFit:
    """The result of a fit with a ridge.

    Attributes:
        weights: fitted on all lists, float64 ``[3]``.
        by_fold: for each fold, the weights fitted on the other folds.
    """

    weights: NDArray[np.float64]
    by_fold: dict[int, NDArray[np.float64]]

    def measure_gain(
        self,
        x: NDArray[np.float64],
        m: NDArray[np.bool_],
        y: NDArray[np.int64],
        fold: NDArray[np.int64],
        base: dict[int, NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """How much lower each held-out list's cross-entropy is than with other weights, ``[E]``, in nats."""
        gain = np.zeros(len(y))
        for f, weights in self.by_fold.items():
            out = fold == f
            old, new = (_list_losses(w, x[:, out], m[out], y[out]) for w in (base[f], weights))
            gain[out] = old - new
        return gain


def fit_ridge(
    x: NDArray[np.float64],
    m: NDArray[np.bool_],
    y: NDArray[np.int64],
    fold: NDArray[np.int64],
    centre: NDArray[np.float64],
    pull: NDArray[np.float64],
    centres: dict[int, NDArray[np.float64]] | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
) -> RidgeFit:
    """Fit weights with a ridge towards a centre; cross-validation over folds chooses its strength.

    Args:
        x: terms ``[3, E, C]``.
        m: mask ``[E, C]``.
        y: targets ``[E]``.
        fold: of each list, ``[E]``.
        centre: ``[3]``, where the ridge pulls the weights that are fitted on all lists.
        pull: ``[3]``, the share of the strength that acts on each term.
        centres: for each fold, a centre that was fitted without the fold's lists.
        strengths: to try, strongest first.
    """
    held_out_loss = np.zeros(len(strengths))
    # For each fold, the weights by strength.
    by_fold: dict[int, list[NDArray[np.float64]]] = {}
    folds = np.unique(fold)
    for f in folds if len(folds) > 1 else ():
        out, origin = fold == f, (centres or {}).get(int(f), centre)
        by_fold[int(f)] = [
            _fit_logit(x[:, ~out], m[~out], y[~out], s * pull, origin) for s in strengths
        ]
        held_out_loss += [_cross_entropy(w, x[:, out], m[out], y[out])[0] for w in by_fold[int(f)]]
    # Among equal losses the first one wins, which has the strongest ridge.
    best = int(held_out_loss.argmin())
    weights = _fit_logit(x, m, y, strengths[best] * pull, centre)
    chosen = {f: w[best] for f, w in by_fold.items()}
    if strengths[best] == STRENGTHS[0]:
        # The strongest ridge stands for no move: what it holds stays exactly where it was.
        weights = np.where(pull > 0, centre, weights)
        chosen = {
            f: np.where(pull > 0, (centres or {}).get(f, centre), w) for f, w in chosen.items()
        }
    return RidgeFit(weights, chosen)


def _fit_logit(
    x: NDArray[np.float64],
    m: NDArray[np.bool_],
    y: NDArray[np.int64],
    pull: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Non-negative weights ``[3]`` of the terms, with a ridge of strength ``pull`` towards a centre."""

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = _cross_entropy(w, x, m, y)
        away = w - centre
        return value + float((pull * away**2).sum()) / 2, gradient + pull * away

    # Only here: a saved ranker is loaded without SciPy's optimisers.
    from scipy.optimize import minimize

    bounds = [(0.0, None), (0.0, None), (SMALLEST, None)]
    return np.asarray(minimize(loss, centre, jac=True, bounds=bounds, method="L-BFGS-B").x)
