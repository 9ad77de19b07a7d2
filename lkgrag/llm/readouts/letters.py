"""The letters readout: logits of the index letters at the answer position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from lkgrag.llm.readouts.base import at


class LetterReadout(nn.Module):
    """The head's logits of the index letters at the answer position, of no other token.

    Args:
        model: the causal language model, bare or with an adapter; not registered as a submodule.
        rule: from the head's product to the model's logits, where they differ.
    """

    def __init__(self, model: nn.Module, rule: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self._model = [model]
        self._rule = rule

    def forward(self, hidden: Tensor, read: Tensor, letter: Tensor) -> Tensor:
        """Scores ``[B, C]``.

        Args:
            hidden: ``[B, T, D]``.
            read: int64 ``[B, C]``.
            letter: int64 ``[B, C]``, token id of each slot's letter.
        """
        from lkgrag.llm.lora import base_model

        head = base_model(self._model[0]).get_output_embeddings()
        state = at(hidden, read)
        out = head_rows(head, state, letter.clamp(min=0))
        return out if self._rule is None else self._rule(out)


def head_rows(head: Any, state: Tensor, index: Tensor) -> Tensor:
    """Logits of some tokens only.

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
    weight = layer.weight
    if weight.dim() == 2 and weight.shape[0] == getattr(layer, "out_features", weight.shape[0]):
        return weight
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, weight.quant_state)
