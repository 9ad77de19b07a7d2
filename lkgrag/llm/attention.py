"""Which implementation computes a model's attention, and the mask of the candidates' blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lkgrag.errors import ModelError
from lkgrag.llm.block_attention import register
from lkgrag.llm.readouts.base import Attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def choose_attention(asked: str, model: PreTrainedModel, needed: Attention) -> str:
    """The attention implementation for ``llm.attention``.

    ``blocks`` computes the allowed products only, and is the fastest on CPUs and GPUs where candidates do
    not see each other. Plain text of up to 2,000 tokens, and models that do not let attention be replaced,
    get torch's. Models whose attention is of a kind that torch's is not get transformers' own: Gemma 2
    caps its scores.

    Args:
        asked: ``llm.attention``.
        model: the causal language model.
        needed: by the readout.

    Raises:
        ModelError: the implementation that was asked for does not fit the model.
    """
    text = model.config.get_text_config()
    capped = bool(getattr(text, "attn_logit_softcapping", None))
    sdpa = bool(getattr(model, "_supports_sdpa", False)) and not capped
    blocks = bool(getattr(model, "_supports_attention_backend", False))
    blocks = blocks and not capped and not getattr(text, "sliding_window", None)
    if asked == "auto":
        if blocks and needed is Attention.BLOCKS:
            return register()
        return "sdpa" if sdpa else "eager"
    if not {"blocks": blocks, "sdpa": sdpa}.get(asked, True):
        raise ModelError(
            f"llm.attention={asked} does not fit a {model.config.model_type} model; set auto"
        )
    return register() if asked == "blocks" else asked


def dense_mask(block: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive attention mask of prompts whose candidates do not see each other.

    A token attends to earlier tokens of the shared part and of its own candidate. A padded token attends to
    itself, so that its row is not empty.

    Args:
        block: int64 ``[B, T]``, see :class:`~lkgrag.prompt.TokenBatch`.
        dtype: of the model.

    Returns:
        ``[B, 1, T, T]``: 0 where allowed, the type's lowest number elsewhere.
    """
    place = torch.arange(block.shape[1], device=block.device)
    causal = place[:, None] >= place[None, :]
    key, query = block[:, None, :], block[:, :, None]
    allowed = causal & (key >= 0) & ((key == 0) | (key == query))
    allowed = allowed | (place[:, None] == place[None, :])
    mask = torch.zeros(allowed.shape, dtype=dtype, device=block.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]
