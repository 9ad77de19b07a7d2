r"""The fused score: :math:`score(c) = lm(c) + a \cdot scorer(c) + b \cdot prior(c)`.

``lm`` and ``scorer`` are centred per prompt, ``prior`` is the log-softmax of the retriever's scores,
``a`` and ``b`` are non-negative scalars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.config import TERMS

#: Strengths of the pull towards the retriever alone that the refit tries, strongest first: how many
#: lists' worth of evidence it takes to move a standardised term half of its way.
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


def centre(scores: Tensor, mask: Tensor) -> Tensor:
    """Subtract each prompt's mean over its candidates; 0 in padding.

    Args:
        scores: shape ``[B, C]``.
        mask: bool ``[B, C]``, which slots are filled.
    """
    scores = scores.masked_fill(~mask, 0.0)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    return (scores - scores.sum(1, keepdim=True) / count).masked_fill(~mask, 0.0)


def list_cross_entropy(scores: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the target over a prompt's candidates, shape ``[B]``, in nats.

    Args:
        scores: shape ``[B, C]``.
        target: int64 ``[B]``, a filled slot.
        mask: bool ``[B, C]``.
    """
    return F.cross_entropy(scores.masked_fill(~mask, -math.inf), target, reduction="none")


class Fusion(nn.Module):
    """The two non-negative scalars ``a`` (scorer) and ``b`` (prior).

    Args:
        a: initial weight of the scorer.
        b: initial weight of the prior.
        terms: which of ``scorer`` and ``prior`` count at all; the other one's weight stays 0.
    """

    used: Tensor

    def __init__(self, a: float = 1.0, b: float = 1.0, terms: Sequence[str] = TERMS) -> None:
        super().__init__()
        self.terms = tuple(t for t in TERMS if t in terms)
        used = torch.tensor([float(t in self.terms) for t in TERMS])
        self.register_buffer("used", used, persistent=False)
        self.raw = nn.Parameter(torch.zeros(2))
        self.set(a, b)

    def set(self, a: float, b: float) -> None:
        """Set both weights."""
        values = torch.tensor([max(a, 0.0), max(b, 0.0)], dtype=torch.float64)
        with torch.no_grad():
            # The inverse of softplus; 0 maps to minus infinity, which softplus maps back to 0.
            raw = torch.where(values > 20, values, torch.log(torch.expm1(values)))
            self.raw.copy_(raw)

    @property
    def a(self) -> Tensor:
        """Weight of the scorer."""
        return self.used[0] * F.softplus(self.raw[0])

    @property
    def b(self) -> Tensor:
        """Weight of the prior."""
        return self.used[1] * F.softplus(self.raw[1])

    def forward(self, lm: Tensor, scorer: Tensor, prior: Tensor, mask: Tensor) -> Tensor:
        """Fuse three terms of shape ``[B, C]``; ``-inf`` in padding."""
        prior = prior.masked_fill(~mask, 0.0)
        score = centre(lm, mask) + self.a * centre(scorer, mask) + self.b * prior
        return score.masked_fill(~mask, -math.inf)


def fit_weights(
    terms: NDArray[np.float64],
    mask: NDArray[np.bool_],
    target: NDArray[np.int64],
    user: NDArray[np.int64],
    start: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
) -> tuple[float, float]:
    """Fit ``a`` and ``b`` on lists whose three terms are known.

    A conditional logit with one non-negative weight a term. The LM's and the scorer's are pulled
    towards 0, the retriever alone, by a ridge whose strength is chosen by cross-validation over
    users: a term that does not show its worth on the lists of other users gets no say. The weights
    are then divided by the LM's, since a common factor changes no ranking.

    Args:
        terms: shape ``[3, E, C]``: centred LM, centred scorer, prior.
        mask: bool ``[E, C]``.
        target: int64 ``[E]``; -1 where no candidate is the target, which says nothing.
        user: int64 ``[E]``, whose list it is.
        start: what comes back where there is no list to fit on.
        seed: of the folds.
        fuse: which of ``scorer`` and ``prior`` count; the other one's weight is 0.

    Returns:
        ``(a, b)``.
    """
    usable = target >= 0
    x, m, y, user = (
        np.where(mask, terms, 0.0)[:, usable],
        mask[usable],
        target[usable],
        user[usable],
    )
    used = np.asarray([1.0, *(float(t in fuse) for t in TERMS)])
    if len(y) == 0 or used.sum() == 1:
        return start[0] * used[1], start[1] * used[2]
    x = x * used[:, None, None]
    scale = np.asarray([term[m].std() for term in x[:2]] + [1.0])
    # A term that is the same everywhere (no language model, no path) can have any weight.
    x = x / np.where(scale > 0, scale, 1.0)[:, None, None]
    fold = _folds(user, seed)
    held = np.zeros(len(STRENGTHS))
    for f in range(FOLDS if len(np.unique(fold)) > 1 else 0):
        out = fold == f
        for n, strength in enumerate(STRENGTHS):
            w = _logit(x[:, ~out], m[~out], y[~out], strength)
            held[n] += _cross_entropy(w, x[:, out], m[out], y[out])[0]
    # Of equals the first, which is the strongest pull.
    w = _logit(x, m, y, STRENGTHS[int(held.argmin())])
    lm, scorer, prior = w / np.where(scale > 0, scale, 1.0)
    unit = lm if scale[LM] > 0 else 1.0
    prior = prior * used[2]
    # Scorer and prior keep their proportion where the LM earned nothing.
    unit = max(unit, scorer / LARGEST, prior / LARGEST, 1e-12)
    return float(scorer / unit), float(prior / unit)


def cross_fit_weights(
    terms: NDArray[np.float64],
    mask: NDArray[np.bool_],
    target: NDArray[np.int64],
    user: NDArray[np.int64],
    start: tuple[float, float],
    seed: int = 0,
    fuse: Sequence[str] = TERMS,
) -> NDArray[np.float64]:
    """Weights for each list, fitted without any list of its user.

    What a validation figure of the ranker is computed with: no list judges weights it was used for.

    Returns:
        Shape ``[E, 2]``.
    """
    fold = _folds(user, seed)
    out = np.tile(np.asarray(start, np.float64), (len(target), 1))
    for f in np.unique(fold):
        inside, rest = fold == f, fold != f
        out[inside] = fit_weights(
            terms[:, rest], mask[rest], target[rest], user[rest], start, seed + 1, fuse
        )
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


def _logit(
    x: NDArray[np.float64], m: NDArray[np.bool_], y: NDArray[np.int64], strength: float
) -> NDArray[np.float64]:
    """Non-negative weights ``[3]`` of the terms, LM and scorer pulled towards 0."""
    pull = np.asarray([strength, strength, 0.0])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = _cross_entropy(w, x, m, y)
        return value + float((pull * w**2).sum()) / 2, gradient + pull * w

    bounds = [(0.0, None), (0.0, None), (SMALLEST, None)]
    start = np.asarray([0.0, 0.0, 1.0])
    return np.asarray(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x)
