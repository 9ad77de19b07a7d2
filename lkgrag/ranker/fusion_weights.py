"""The fit of the fusion's weights on lists whose terms are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from lkgrag.config import TERMS

#: Strengths of the pull that the refit tries, strongest first: how many lists' worth of evidence it
#: takes to move a standardised term half of its way.
STRENGTHS = (1e6, 1000.0, 300.0, 100.0, 30.0, 10.0)
#: Parts that users are split into, to choose the strength and to judge the weights.
FOLDS = 5
#: Least weight of the prior, so that there is always something to rank by.
SMALLEST = 1e-3
#: Most that a term may weigh, in units of the LM's weight: an LM that earned no weight still only
#: decides between near-equals.
LARGEST = 50.0
#: Place of the LM among the terms.
LM = 0
_RETRIEVER = np.asarray([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class TermLists:
    """Candidate lists whose terms are known, to fit weights on.

    Attributes:
        terms: float64 ``[3, E, C]``: centred LM, centred scorer, prior.
        mask: bool ``[E, C]``, filled slots.
        target: int64 ``[E]``; -1 where no candidate is the target, which says nothing.
        user: int64 ``[E]``, whose list it is.
        read: bool ``[E]``, lists whose LM term is known; all by default.
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
        """Some of the lists, bool ``[E]``."""
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

    Conditional logits with one non-negative weight a term, in two steps. First scorer and prior are
    weighed on all lists, pulled towards the prior alone. Then all three are weighed on the lists that the
    LM read, pulled towards what the first step gave. Each pull is a ridge whose strength is chosen by
    cross-validation over users: a term that does not help on the lists of other users gets no weight. So
    many lists weigh scorer and prior where an LM has read few. The weights are divided by the LM's, since
    a common factor changes no ranking.

    Args:
        lists: to fit on.
        start: the weights where there is no list to fit on.
        seed: of the folds.
        fuse: which of ``scorer`` and ``prior`` count; the other one's weight is 0.

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
    # A term that is the same everywhere (no language model, no path) can have any weight.
    divisor = np.where(scale > 0, scale, 1.0)
    x = x / divisor[:, None, None]
    fold = _folds(user, seed)
    silent = x * np.asarray([0.0, 1.0, 1.0])[:, None, None]
    w, by_fold = _pulled(silent, m, y, fold, _RETRIEVER, np.asarray([1.0, 1.0, 0.0]))
    if scale[LM] > 0:
        x, m, y, fold = x[:, read], m[read], y[read], fold[read]
        w, _ = _pulled(x, m, y, fold, w, np.ones(3), by_fold)
    lm, scorer, prior = w / divisor
    unit = lm if scale[LM] > 0 else 1.0
    prior = prior * used[2]
    # Scorer and prior keep their proportion where the LM earned nothing.
    unit = max(unit, scorer / LARGEST, prior / LARGEST, 1e-12)
    return float(scorer / unit), float(prior / unit)


def cross_fit_weights(
    lists: TermLists,
    start: tuple[float, float],
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
) -> NDArray[np.float64]:
    """Weights for each list, fitted without any list of its user; arguments as :func:`fit_weights`.

    A validation figure of the ranker is computed with them: no list judges weights that it helped to fit.

    Returns:
        Shape ``[E, 2]``.
    """
    fold = _folds(lists.user, seed)
    out = np.tile(np.asarray(start, np.float64), (len(lists), 1))
    for f in np.unique(fold):
        out[fold == f] = fit_weights(lists[fold != f], start, seed + 1, fuse)
    return out


def _folds(user: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A fold a list, the same for all lists of a user."""
    draw = np.random.default_rng([seed, 0xF01D])
    return draw.integers(0, FOLDS, int(user.max(initial=0)) + 1)[user]


def _cross_entropy(
    w: NDArray[np.float64], x: NDArray[np.float64], m: NDArray[np.bool_], y: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Summed cross-entropy of weighted terms ``[3, E, C]``, in nats, and its gradient ``[3]``."""
    score = np.where(m, np.tensordot(w, x, 1), -np.inf)
    log_p = score - logsumexp(score, axis=1, keepdims=True)
    rows = np.arange(len(y))
    gradient = (x * np.exp(log_p)).sum((1, 2)) - x[:, rows, y].sum(1)
    return float(-log_p[rows, y].sum()), gradient


def _pulled(
    x: NDArray[np.float64],
    m: NDArray[np.bool_],
    y: NDArray[np.int64],
    fold: NDArray[np.int64],
    centre: NDArray[np.float64],
    pull: NDArray[np.float64],
    centres: dict[int, NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]:
    """Weights pulled towards a centre as strongly as serves other users best.

    Args:
        x: terms ``[3, E, C]``.
        m: mask.
        y: targets.
        fold: of each list.
        centre: ``[3]``, what all lists' weights are pulled to.
        pull: ``[3]``, share of the strength that a term feels.
        centres: for each fold, a centre that its lists had no part in.

    Returns:
        The weights fitted on all lists, and for each fold those fitted on the others.
    """
    held = np.zeros(len(STRENGTHS))
    found: dict[int, list[NDArray[np.float64]]] = {}
    folds = np.unique(fold)
    for f in folds if len(folds) > 1 else ():
        out, origin = fold == f, (centres or {}).get(int(f), centre)
        found[int(f)] = [_logit(x[:, ~out], m[~out], y[~out], s * pull, origin) for s in STRENGTHS]
        held += [_cross_entropy(w, x[:, out], m[out], y[out])[0] for w in found[int(f)]]
    # Of equals the first, which is the strongest pull.
    best = int(held.argmin())
    return _logit(x, m, y, STRENGTHS[best] * pull, centre), {f: w[best] for f, w in found.items()}


def _logit(
    x: NDArray[np.float64],
    m: NDArray[np.bool_],
    y: NDArray[np.int64],
    pull: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Non-negative weights ``[3]`` of the terms, each pulled towards its centre."""

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = _cross_entropy(w, x, m, y)
        away = w - centre
        return value + float((pull * away**2).sum()) / 2, gradient + pull * away

    bounds = [(0.0, None), (0.0, None), (SMALLEST, None)]
    return np.asarray(minimize(loss, centre, jac=True, bounds=bounds, method="L-BFGS-B").x)
