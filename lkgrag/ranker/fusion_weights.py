"""The fit of the fusion's weights on candidate lists whose scores are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lkgrag.config import TERMS

#: Strengths of the ridge that the fit tries, strongest first. A strength is the number of lists whose
#: evidence moves the weight of a standardised term half of its way.
STRENGTHS = (1e6, 1000.0, 300.0, 100.0, 30.0, 10.0)
#: Folds of users, for the choice of the strength and for cross-fitted weights.
FOLDS = 5
#: The least weight of the prior, so that something always ranks the candidates.
SMALLEST = 1e-3
#: The most that a term may weigh, in units of the LM's weight. An LM without any weight of its own then
#: decides between near-equal candidates only.
LARGEST = 50.0
#: Index of the LM among the terms.
LM = 0
#: Weights of the retriever's ranking: the prior alone.
_PRIOR_ALONE = np.asarray([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class TermLists:
    """Candidate lists with the three terms of the fused score, to fit weights on.

    Attributes:
        terms: float64 ``[3, E, C]``: centred LM, centred scorer, prior.
        mask: bool ``[E, C]``, the filled slots.
        target: int64 ``[E]``, candidate slot of the target; -1 if no candidate is the target. Such a list
            is left out of the fit.
        user: int64 ``[E]``, user index of each list.
        read: bool ``[E]``, the lists that the LM read, whose LM term is known; all by default.
    """

    terms: NDArray[np.float64]
    mask: NDArray[np.bool_]
    target: NDArray[np.int64]
    user: NDArray[np.int64]
    read: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """Number of lists."""
        return len(self.target)

    @property
    def is_read(self) -> NDArray[np.bool_]:
        """:attr:`read`, filled in, bool ``[E]``."""
        return np.ones(len(self), bool) if self.read is None else self.read

    def __getitem__(self, index: NDArray[np.bool_]) -> TermLists:
        """The lists selected by a mask, bool ``[E]``."""
        return TermLists(
            self.terms[:, index],
            self.mask[index],
            self.target[index],
            self.user[index],
            self.is_read[index],
        )


def fit_weights(
    lists: TermLists,
    start: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
) -> tuple[float, float]:
    """Fit ``a`` and ``b`` on lists whose terms are known.

    The model is a conditional logit with one non-negative weight a term, fitted in two steps:

    1. The weights of scorer and prior are fitted on all lists, with a ridge towards the prior alone.
    2. All three weights are fitted on the lists that the LM read, with a ridge towards the first result.

    Cross-validation over users chooses the strength of each ridge. A term that does not help on the lists
    of other users gets no weight. Many lists can thus weigh scorer and prior, even if the LM reads few.
    At the end all weights are divided by the LM's weight; a common factor changes no ranking.

    Args:
        lists: the lists to fit on.
        start: the result if no list has a target.
        seed: of the folds.
        fuse: those of ``scorer`` and ``prior`` that count; the weight of any other is 0.

    Returns:
        ``(a, b)``.
    """
    usable = lists[lists.target >= 0]
    m, y, user, read = usable.mask, usable.target, usable.user, usable.is_read
    x = np.where(m, usable.terms, 0.0)
    used = np.asarray([1.0, *(float(t in fuse) for t in TERMS)])
    if len(y) == 0 or used.sum() == 1:
        return start[0] * used[1], start[1] * used[2]
    x = x * used[:, None, None]
    spread = x[LM, read].std(where=m[read]) if read.any() else 0.0
    scale = np.asarray([spread, x[1].std(where=m), 1.0])
    # A term that is constant (no language model, no path) may have any weight.
    divisor = np.where(scale > 0, scale, 1.0)
    x = x / divisor[:, None, None]
    fold = _draw_folds(user, seed)
    without_lm = x * np.asarray([0.0, 1.0, 1.0])[:, None, None]
    w, by_fold = _fit_ridge(without_lm, m, y, fold, _PRIOR_ALONE, np.asarray([1.0, 1.0, 0.0]))
    if scale[LM] > 0:
        x, m, y, fold = x[:, read], m[read], y[read], fold[read]
        w, _ = _fit_ridge(x, m, y, fold, w, np.ones(3), by_fold)
    lm, scorer, prior = w / divisor
    unit = lm if scale[LM] > 0 else 1.0
    prior = prior * used[2]
    # Scorer and prior keep their proportion if the LM has no weight.
    unit = max(unit, scorer / LARGEST, prior / LARGEST, 1e-12)
    return float(scorer / unit), float(prior / unit)


def cross_fit_weights(
    lists: TermLists,
    start: tuple[float, float],
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
) -> NDArray[np.float64]:
    """Weights for each list, fitted without any list of its user; arguments as of :func:`fit_weights`.

    The ranker's figures on validation use them, so that no list measures weights that were fitted on it.

    Returns:
        Shape ``[E, 2]``.
    """
    fold = _draw_folds(lists.user, seed)
    out = np.tile(np.asarray(start, np.float64), (len(lists), 1))
    for f in np.unique(fold):
        out[fold == f] = fit_weights(lists[fold != f], start, seed + 1, fuse)
    return out


def _draw_folds(user: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each list, int64 ``[E]``; all lists of a user are in one fold."""
    draw = np.random.default_rng([seed, 0xF01D])
    return draw.integers(0, FOLDS, int(user.max(initial=0)) + 1)[user]


def _cross_entropy(
    w: NDArray[np.float64], x: NDArray[np.float64], m: NDArray[np.bool_], y: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Cross-entropy of the weighted terms ``[3, E, C]``, summed, in nats, and its gradient ``[3]``."""
    score = np.where(m, np.tensordot(w, x, 1), -np.inf)
    log_p = score - logsumexp(score, axis=1, keepdims=True)
    rows = np.arange(len(y))
    gradient = (x * np.exp(log_p)).sum((1, 2)) - x[:, rows, y].sum(1)
    return float(-log_p[rows, y].sum()), gradient


def _fit_ridge(
    x: NDArray[np.float64],
    m: NDArray[np.bool_],
    y: NDArray[np.int64],
    fold: NDArray[np.int64],
    centre: NDArray[np.float64],
    pull: NDArray[np.float64],
    centres: dict[int, NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]:
    """Fit weights with a ridge towards a centre; cross-validation over folds chooses its strength.

    Args:
        x: terms ``[3, E, C]``.
        m: mask ``[E, C]``.
        y: targets ``[E]``.
        fold: of each list, ``[E]``.
        centre: ``[3]``, where the ridge pulls the weights that are fitted on all lists.
        pull: ``[3]``, the share of the strength that acts on each term.
        centres: for each fold, a centre that was fitted without the fold's lists.

    Returns:
        The weights fitted on all lists, and for each fold the weights fitted on the other folds.
    """
    held_out_loss = np.zeros(len(STRENGTHS))
    # For each fold, the weights by strength.
    by_fold: dict[int, list[NDArray[np.float64]]] = {}
    folds = np.unique(fold)
    for f in folds if len(folds) > 1 else ():
        out, origin = fold == f, (centres or {}).get(int(f), centre)
        by_fold[int(f)] = [
            _fit_logit(x[:, ~out], m[~out], y[~out], s * pull, origin) for s in STRENGTHS
        ]
        held_out_loss += [_cross_entropy(w, x[:, out], m[out], y[out])[0] for w in by_fold[int(f)]]
    # Among equal losses the first one wins, which has the strongest ridge.
    best = int(held_out_loss.argmin())
    weights = _fit_logit(x, m, y, STRENGTHS[best] * pull, centre)
    return weights, {f: w[best] for f, w in by_fold.items()}


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
