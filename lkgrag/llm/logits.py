"""What a model does to its head's product before it calls it logits: a factor, a soft cap.

The letters readout computes only a few rows of the head (:func:`head_rows`). Granite divides the product
by a number, Cohere and HyperCLOVA X multiply it, Gemma 2 squeezes it through a tanh. :func:`find_rule`
tells which of these a model does by comparing with the model's own logits once, on a few tokens. A model
that does something else is refused, since its scores would not be its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from lkgrag.errors import ModelError
from lkgrag.llm.lora import backbone, base_model

#: Options of a model's configuration that scale its logits, up or down.
SCALES = ("logits_scaling", "logit_scale", "lm_head_multiplier")
#: The option that caps them.
CAP = "final_logit_softcapping"
#: Tokens of the comparison, and rows of the head that are compared.
TOKENS, ROWS = 8, 64
#: Largest difference, in units of the largest logit, for exact types and for half precision.
TOLERANCE, TOLERANCE_HALF = 1e-3, 2e-2


@dataclass(frozen=True)
class LogitRule:
    """From the head's product to the model's logits.

    Attributes:
        scale: factor.
        cap: logits are squeezed to ``(-cap, cap)`` by ``cap * tanh(x / cap)``; None does not.
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, value: Tensor) -> Tensor:
        """Logits of products of any shape."""
        value = value * self.scale if self.scale != 1.0 else value
        return value if self.cap is None else self.cap * torch.tanh(value / self.cap)


def possible_rules(config: Any) -> list[LogitRule]:
    """The rules that a model's configuration may mean, the likeliest first."""
    scales = [1.0]
    for name in SCALES:
        value = getattr(config, name, None)
        if isinstance(value, int | float) and value > 0 and value != 1:
            scales = [float(value), 1 / float(value), *scales]
    cap = getattr(config, CAP, None)
    caps = [float(cap), None] if isinstance(cap, int | float) and cap > 0 else [None]
    return [LogitRule(scale, cap) for scale, cap in product(scales, caps)]


@torch.no_grad()
def find_rule(model: nn.Module) -> LogitRule:
    """Find the rule that gives a model's own logits.

    Args:
        model: a causal language model, bare or with an adapter.

    Raises:
        ModelError: no rule gives them, or the model has no head.
    """
    base = base_model(model)
    config = base.config.get_text_config()
    head = base.get_output_embeddings()
    if head is None:
        raise ModelError(
            f"llm.readout=letters needs a language model's head, but {type(base).__name__} has none; "
            "set llm.readout=candidates"
        )
    place = base.get_input_embeddings().weight.device
    count = min(ROWS, config.vocab_size)
    ids = torch.arange(TOKENS, device=place)[None] % config.vocab_size
    kept: list[Tensor] = []
    hook = backbone(model).register_forward_hook(
        lambda module, args, out: kept.append(out.last_hidden_state)
    )
    try:
        logits = base(input_ids=ids, use_cache=False).logits[:, -1:, :count].float()
    finally:
        hook.remove()
    state = kept[0][:, -1:].float().expand(-1, count, -1)
    rows = head_rows(head, state, torch.arange(count, device=place)[None])
    half = kept[0].dtype != torch.float32
    bound = (TOLERANCE_HALF if half else TOLERANCE) * float(logits.abs().max())
    for rule in possible_rules(config):
        if float((rule(rows) - logits[:, 0]).abs().max()) <= bound:
            return rule
    raise ModelError(
        f"llm.readout=letters: the logits of {config.model_type} models are not their head's product, "
        "scaled or capped in a known way; set llm.readout=candidates or choose another llm.name"
    )


def head_rows(head: Any, state: Tensor, index: Tensor) -> Tensor:
    """The head's product for some tokens only.

    Args:
        head: the output layer; plain, 4-bit, or with LoRA on it.
        state: ``[B, C, D]``, float32.
        index: int64 ``[B, C]``, one token each.

    Returns:
        ``[B, C]``, float32.
    """
    base = head.get_base_layer() if hasattr(head, "get_base_layer") else head
    weight = _plain_weight(base)[index].float()
    out = (state * weight).sum(-1)
    if getattr(base, "bias", None) is not None:
        out = out + base.bias[index].float()
    for name in getattr(head, "active_adapters", ()):
        if name in getattr(head, "lora_A", {}) and not head.disable_adapters:
            low = state @ head.lora_A[name].weight.float().T
            rows = head.lora_B[name].weight[index].float()
            out = out + head.scaling[name] * (low * rows).sum(-1)
    return out


def _plain_weight(layer: Any) -> Tensor:
    """The weight of an output layer, dequantised where it is in 4 bits."""
    weight = layer.weight
    if weight.dim() == 2 and weight.shape[0] == getattr(layer, "out_features", weight.shape[0]):
        return weight
    # Heavy, and needed for a head in 4 bits only.
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state)
