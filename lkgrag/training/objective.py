"""The ranker's loss, its optimiser and its learning rates.

The loss is a cross-entropy over the candidates on the fused score. Two more cross-entropies are added,
on the LM's scores alone and on the scorer's alone, so that neither can hide behind the prior.

A part of the LM's target is the scorer's expectation: its softmax, without a gradient (distillation, after
Hinton et al., arXiv 1503.02531). One chosen item in twenty says little about the other nineteen. A
small language model with a target for all twenty learns to read the evidence in tens of prompts, not
thousands.

The scorer learns on two routes: through ``a * scorer(c)`` (fusion route), and through the gates of its
worded paths (LM route).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lkgrag.ranker.fusion import list_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lkgrag.config import TrainingConfig
    from lkgrag.ranker.batch import RankerOutput
    from lkgrag.ranker.model import RankerModel


def losses(
    output: RankerOutput,
    target: Tensor,
    mask: Tensor,
    weight: Tensor,
    distill: float = 0.0,
) -> dict[str, Tensor]:
    """Weighted sums of the cross-entropies, in nats.

    Args:
        output: of the ranker: the scores of fusion, LM and scorer, ``[B, C]`` each.
        target: int64 ``[B]``, candidate slots.
        mask: bool ``[B, C]``, the filled slots.
        weight: float ``[B]``, of each prompt; 0 leaves a prompt out.
        distill: share of the scorer's expectation in the LM's target, 0 to 1.

    Returns:
        ``fused``, ``lm`` and ``scorer``, each a scalar, and ``taught``, the LM's loss on the mixed
        target, which replaces ``lm`` in :func:`total_loss`.
    """
    terms = {"fused": output.scores, "lm": output.lm, "scorer": output.scorer}
    out = {
        name: (list_cross_entropy(value.float(), target, mask) * weight).sum()
        for name, value in terms.items()
    }
    expected = output.scorer.detach().float()
    soft = (soft_cross_entropy(output.lm.float(), expected, mask) * weight).sum()
    out["taught"] = (1.0 - distill) * out["lm"] + distill * soft
    return out


def soft_cross_entropy(scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the scores' softmax against the teacher's softmax, ``[B]``, in nats.

    Args:
        scores: float ``[B, C]``.
        teacher: float ``[B, C]``.
        mask: bool ``[B, C]``, the filled slots.
    """
    low = torch.finfo(scores.dtype).min
    expected = teacher.masked_fill(~mask, low).softmax(1)
    log_probability = scores.masked_fill(~mask, low).log_softmax(1)
    return -(expected * log_probability.masked_fill(~mask, 0.0)).sum(1)


def total_loss(parts: dict[str, Tensor], config: TrainingConfig) -> Tensor:
    """The weighted sum of the parts that :func:`losses` gives, a scalar."""
    return parts["fused"] + config.aux_lm * parts["taught"] + config.aux_scorer * parts["scorer"]


def zero_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """A loss of 0 that gives each parameter a gradient of 0.

    A batch may leave parameters out: a scorer gets no gradient from prompts without a path. But
    DistributedDataParallel waits for the gradient of every parameter.
    """
    # Each sum is over no element. An infinite parameter (the fusion's for a weight of 0) thus gives no NaN.
    return torch.stack([p.flatten()[:0].sum() for p in parameters]).sum()


def build_optimizer(model: RankerModel, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with three learning rates: for LoRA or all weights of the LM, for head and fusion, for the scorer."""
    groups: dict[str, list[nn.Parameter]] = {"lm": [], "head": [], "scorer": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("scorer."):
            groups["scorer"].append(parameter)
        elif name.startswith("lm.model."):
            groups["lm"].append(parameter)
        else:
            groups["head"].append(parameter)
    rates = {"lm": config.lr, "head": config.head_lr, "scorer": config.scorer_lr}
    # Weight decay must not pull the fusion's two scalars, or the head that the probe fitted, towards 0.
    decay = {"lm": config.weight_decay, "head": 0.0, "scorer": config.weight_decay}
    return torch.optim.AdamW(
        [
            {"params": p, "lr": rates[g], "peak": rates[g], "weight_decay": decay[g], "name": g}
            for g, p in groups.items()
            if p
        ],
        betas=(0.9, 0.99),
    )


def rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step: it rises linearly, then falls linearly to a tenth."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 1.0 - 0.9 * (step - rise) / max(1, steps - rise)
