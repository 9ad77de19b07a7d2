r"""The fused score: :math:`score(c) = l \cdot lm(c) + a \cdot scorer(c) + b \cdot prior(c)`.

``lm`` and ``scorer`` are centred per prompt. ``prior`` is the log-softmax of the retriever's scores.
The weights are non-negative. In training ``l`` is 1, and ``a`` and ``b`` learn. Validation then fits all three,
which sum to one; a language model that earns no weight has ``l = 0``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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


class TermWeights(NamedTuple):
    """The weights of the three terms of the fused score, non-negative.

    Attributes:
        lm: of the language model.
        scorer: of the path scorer, ``a``.
        prior: of the retriever's prior, ``b``.
    """

    lm: float
    scorer: float
    prior: float

    def to_dict(self) -> dict[str, float]:
        """As ``metrics.json`` and a saved ranker hold them: ``lm``, ``a`` and ``b``."""
        return {"lm": self.lm, "a": self.scorer, "b": self.prior}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], has_lm: bool) -> TermWeights:
        """What :meth:`to_dict` gave.

        Older versions state weights in units of the language model's, which they leave out.

        Args:
            value: other keys are ignored.
            has_lm: whether there is a language model.
        """
        if "lm" in value:
            return cls(value["lm"], value["a"], value["b"])
        return cls(float(has_lm), value["a"], value["b"]).normalised()

    def normalised(self) -> TermWeights:
        """The same ranking with weights that sum to one; weights of 0 alone stay as they are."""
        total = sum(self)
        return TermWeights(*(w / total for w in self)) if total > 0 else self


class Fusion(nn.Module):
    """The weights of the fused score: a fixed one of the language model, two learned ones of the other terms.

    Args:
        a: initial weight of the scorer.
        b: initial weight of the prior.
        terms: those of ``scorer`` and ``prior`` that count; the weight of any other stays 0.
        lm: weight of the language model, which training does not change.
    """

    used: Tensor
    lm_weight: Tensor

    def __init__(
        self, a: float = 1.0, b: float = 1.0, terms: Sequence[str] = TERMS, lm: float = 1.0
    ) -> None:
        super().__init__()
        self.terms = tuple(t for t in TERMS if t in terms)
        used = torch.tensor([float(t in self.terms) for t in TERMS])
        self.register_buffer("used", used, persistent=False)
        self.register_buffer("lm_weight", torch.tensor(float(lm)))
        self.raw = nn.Parameter(torch.zeros(2))
        self.set(TermWeights(lm, a, b))

    def set(self, weights: TermWeights) -> None:
        """Set all three weights."""
        lm, a, b = weights
        self.lm_weight.fill_(max(lm, 0.0))
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
    def weights(self) -> TermWeights:
        """All three weights as numbers."""
        return TermWeights(self.lm_weight.item(), self.a.item(), self.b.item())

    def forward(self, lm: Tensor, scorer: Tensor, prior: Tensor, mask: Tensor) -> Tensor:
        """Fuse three terms of shape ``[B, C]``; ``-inf`` in padding."""
        prior = prior.masked_fill(~mask, 0.0)
        score = self.lm_weight * centre(lm, mask) + self.a * centre(scorer, mask) + self.b * prior
        return score.masked_fill(~mask, -math.inf)
