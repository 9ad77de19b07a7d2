r"""The fused score: :math:`score(c) = lm(c) + a \cdot scorer(c) + b \cdot prior(c)`.

``lm`` and ``scorer`` are centred per prompt, ``prior`` is the log-softmax of the retriever's scores,
``a`` and ``b`` are non-negative scalars.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

#: Strength of the pull towards the weights that the ranker learned, in the refit (in examples).
RIDGE = 10.0
#: Weights are kept in this range, in units of the LM's weight.
SMALLEST, LARGEST = 1e-3, 1e3


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
    """The two non-negative scalars ``a`` (scorer) and ``b`` (prior)."""

    def __init__(self, a: float = 1.0, b: float = 1.0) -> None:
        super().__init__()
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
        return F.softplus(self.raw[0])

    @property
    def b(self) -> Tensor:
        """Weight of the prior."""
        return F.softplus(self.raw[1])

    def forward(self, lm: Tensor, scorer: Tensor, prior: Tensor, mask: Tensor) -> Tensor:
        """Fuse three terms of shape ``[B, C]``; ``-inf`` in padding."""
        prior = prior.masked_fill(~mask, 0.0)
        score = centre(lm, mask) + self.a * centre(scorer, mask) + self.b * prior
        return score.masked_fill(~mask, -math.inf)


def fit_weights(
    terms: NDArray[np.float64],
    mask: NDArray[np.bool_],
    target: NDArray[np.int64],
    start: tuple[float, float] = (1.0, 1.0),
) -> tuple[float, float]:
    """Fit ``a`` and ``b`` on lists whose three terms are known.

    A conditional logit with one non-negative weight a term, pulled towards ``(1, *start)``; the
    weights are then divided by the LM's, since a common factor changes no ranking.

    Args:
        terms: shape ``[3, E, C]``: centred LM, centred scorer, prior.
        mask: bool ``[E, C]``.
        target: int64 ``[E]``.
        start: the weights to pull towards.

    Returns:
        ``(a, b)``.
    """
    if len(target) == 0:
        return start
    x = torch.as_tensor(np.where(mask, terms, 0.0), dtype=torch.float64)
    m, y = torch.as_tensor(mask), torch.as_tensor(target)
    anchor = torch.tensor([1.0, *start], dtype=torch.float64).clamp(SMALLEST, LARGEST).log()
    log_w = anchor.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([log_w], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        scores = torch.einsum("t,tec->ec", log_w.exp(), x)
        loss = list_cross_entropy(scores, y, m).sum() + RIDGE * ((log_w - anchor) ** 2).sum() / 2
        loss.backward()
        return loss

    optimiser.step(closure)
    low, high = math.log(SMALLEST), math.log(LARGEST)
    w = log_w.detach().clamp(low, high).exp()
    return float(w[1] / w[0]), float(w[2] / w[0])


def cross_fit_weights(
    terms: NDArray[np.float64],
    mask: NDArray[np.bool_],
    target: NDArray[np.int64],
    user: NDArray[np.int64],
    start: tuple[float, float],
    folds: int = 5,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Weights for each list, fitted without any list of its user.

    What a validation figure of the ranker is computed with: no list judges weights it was used for.

    Returns:
        Shape ``[E, 2]``.
    """
    fold = np.random.default_rng([seed, 0xF01D]).integers(0, folds, int(user.max(initial=0)) + 1)
    out = np.tile(np.asarray(start, np.float64), (len(target), 1))
    usable = target >= 0
    for f in range(folds):
        inside = fold[user] == f
        train = ~inside & usable
        out[inside] = fit_weights(terms[:, train], mask[train], target[train], start)
    return out
