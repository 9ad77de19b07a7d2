r"""The fused score: :math:`score(c) = lm(c) + a \cdot scorer(c) + b \cdot prior(c)`.

``lm`` and ``scorer`` are centred per prompt. ``prior`` is the log-softmax of the retriever's scores.
``a`` and ``b`` are non-negative scalars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.config import TERMS


def centre(scores: Tensor, mask: Tensor) -> Tensor:
    """Subtract each prompt's mean over its candidates; 0 in padding.

    Args:
        scores: shape ``[B, C]``.
        mask: bool ``[B, C]``, the filled slots.
    """
    scores = scores.masked_fill(~mask, 0.0)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    return (scores - scores.sum(1, keepdim=True) / count).masked_fill(~mask, 0.0)


def list_cross_entropy(scores: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the target over a prompt's candidates, shape ``[B]``, in nats.

    Args:
        scores: shape ``[B, C]``.
        target: int64 ``[B]``, a filled slot.
        mask: bool ``[B, C]``, the filled slots.
    """
    return F.cross_entropy(scores.masked_fill(~mask, -math.inf), target, reduction="none")


class Fusion(nn.Module):
    """The two non-negative scalars ``a`` (scorer) and ``b`` (prior).

    Args:
        a: initial weight of the scorer.
        b: initial weight of the prior.
        terms: those of ``scorer`` and ``prior`` that count; the weight of any other stays 0.
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

    @property
    def weights(self) -> tuple[float, float]:
        """Both weights ``(a, b)`` as numbers."""
        return self.a.item(), self.b.item()

    def forward(self, lm: Tensor, scorer: Tensor, prior: Tensor, mask: Tensor) -> Tensor:
        """Fuse three terms of shape ``[B, C]``; ``-inf`` in padding."""
        prior = prior.masked_fill(~mask, 0.0)
        score = centre(lm, mask) + self.a * centre(scorer, mask) + self.b * prior
        return score.masked_fill(~mask, -math.inf)
