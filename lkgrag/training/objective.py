"""Stage two's loss, and which parameter learns from what.

Cross-entropy over the candidates on the fused score, plus one on the LM's scores alone and one on the
scorer's alone, so that neither can hide behind the prior. A part of the LM's target is what the scorer
expects (its softmax, without a gradient): one chosen item in twenty says little about the other
nineteen, and a small language model that is told about all of them reads the evidence after tens of
prompts instead of thousands (distillation, after Hinton et al., arXiv 1503.02531). The scorer learns on two routes: through
``a * scorer(c)`` (fusion route) and through the gates of its worded paths (LM route).
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
        output: of the ranker: fused scores, and those of the LM and the scorer, ``[B, C]`` each.
        target: int64 ``[B]``.
        mask: bool ``[B, C]``, filled slots.
        weight: ``[B]``; 0 leaves a prompt out.
        distill: share of the scorer's expectation in the LM's target, 0 to 1.

    Returns:
        ``fused``, ``lm`` and ``scorer``, each a scalar; ``taught`` is the loss that takes the place of
        ``lm``.
    """
    terms = {"fused": output.scores, "lm": output.lm, "scorer": output.scorer}
    out = {
        name: (list_cross_entropy(value.float(), target, mask) * weight).sum()
        for name, value in terms.items()
    }
    expected = output.scorer.detach().float()
    taught = (soft_cross_entropy(output.lm.float(), expected, mask) * weight).sum()
    out["taught"] = (1.0 - distill) * out["lm"] + distill * taught
    return out


def soft_cross_entropy(scores: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the teacher's softmax under the scores' softmax, ``[B]``, in nats.

    Args:
        scores: ``[B, C]``.
        teacher: ``[B, C]``.
        mask: bool ``[B, C]``, filled slots.
    """
    low = torch.finfo(scores.dtype).min
    expected = teacher.masked_fill(~mask, low).softmax(1)
    log_probability = scores.masked_fill(~mask, low).log_softmax(1)
    return -(expected * log_probability.masked_fill(~mask, 0.0)).sum(1)


def total(parts: dict[str, Tensor], config: TrainingConfig) -> Tensor:
    """The loss."""
    return parts["fused"] + config.aux_lm * parts["taught"] + config.aux_scorer * parts["scorer"]


def no_loss(parameters: Iterable[nn.Parameter]) -> Tensor:
    """A 0 with a gradient of 0 to each of the parameters.

    A batch may leave some of them out: a scorer learns nothing from prompts without a path. But
    DistributedDataParallel waits for a gradient of every one.
    """
    # Of nothing, so that a parameter that is infinite, as a weight of 0 is in the fusion, gives no NaN.
    return torch.stack([p.flatten()[:0].sum() for p in parameters]).sum()


def build_optimizer(model: RankerModel, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW with a learning rate a part: LoRA, head and fusion, scorer."""
    groups: dict[str, list[nn.Parameter]] = {"lora": [], "head": [], "scorer": []}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("scorer."):
            groups["scorer"].append(parameter)
        elif "lora_" in name:
            groups["lora"].append(parameter)
        else:
            groups["head"].append(parameter)
    rates = {"lora": config.lr, "head": config.head_lr, "scorer": config.scorer_lr}
    # The fusion's two scalars must not be pulled towards 0, nor the head from what the probe found.
    decay = {"lora": config.weight_decay, "head": 0.0, "scorer": config.weight_decay}
    return torch.optim.AdamW(
        [
            {"params": p, "lr": rates[g], "peak": rates[g], "weight_decay": decay[g], "name": g}
            for g, p in groups.items()
            if p
        ],
        betas=(0.9, 0.99),
    )


def rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step: linear rise, then linear fall to a tenth."""
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 1.0 - 0.9 * (step - rise) / max(1, steps - rise)
