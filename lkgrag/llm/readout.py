"""Readouts: candidate scores from the last hidden states, never from ``[tokens, vocabulary]`` logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lkgrag.errors import ModelError


def at(hidden: Tensor, read: Tensor) -> Tensor:
    """Hidden states of the tokens at which the slots are read.

    Args:
        hidden: ``[B, T, D]``.
        read: int64 ``[B, C]``; -1 gives the first token, whose value is not used.

    Returns:
        ``[B, C, D]``, float32.
    """
    index = read.clamp(min=0)[:, :, None].expand(-1, -1, hidden.shape[-1])
    return hidden.gather(1, index).float()


class CandidateReadout(nn.Module):
    """A linear head on the hidden state at each candidate's end, in float32.

    The hidden states are normalised by the model's last layer, but their size differs from model to
    model; the head starts so small that scores start near 0 whatever the model.

    Args:
        hidden_size: ``D``.
        seed: of the initial weights.
        scale: root mean square of the model's last hidden states.
    """

    scale: Tensor

    def __init__(self, hidden_size: int, seed: int = 0, scale: float = 1.0) -> None:
        super().__init__()
        # Made without values, so that the seed given here decides and no global one is used up.
        # No bias: what all candidates share moves no choice among them, and rounding would train it.
        self.head = nn.Linear(hidden_size, 1, bias=False, device="meta").to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.normal_(0.0, INITIAL_SCORE / hidden_size**0.5, generator=generator)
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, hidden: Tensor, read: Tensor, letter: Tensor) -> Tensor:
        """Scores ``[B, C]``."""
        return self.head(at(hidden, read) / self.scale).squeeze(-1)


#: Standard deviation of the scores that a fresh head gives.
INITIAL_SCORE = 0.1


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


def refuse_sliding_windows(model_config: Any) -> None:
    """Stop where a layer does not attend to the whole prompt.

    Raises:
        ModelError: a layer has sliding-window, chunked or linear attention.
    """
    kinds = getattr(model_config, "layer_types", None)
    other = sorted({k for k in kinds or () if k != "full_attention"})
    window = getattr(model_config, "sliding_window", None)
    if kinds is None and window and getattr(model_config, "use_sliding_window", True):
        other = ["sliding_attention"]
    if other:
        raise ModelError(
            f"llm.readout=candidates needs full attention in every layer, but this "
            f"{model_config.model_type} model has {', '.join(other)}; set llm.readout=letters"
        )
