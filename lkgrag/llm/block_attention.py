r"""Attention for prompts made of a shared prefix and candidates that must not see each other.

A token of a candidate attends to the prefix and to its own candidate only. The stock way is a dense
additive mask of shape ``[B, 1, T, T]``, of which most entries forbid; here only the allowed parts are
computed: candidates against the prefix, and each candidate against itself, under one softmax. The
result is the same function (after InvariRank, arXiv 2604.27599), at about a quarter of the products.

It plugs into any model of transformers that dispatches through ``AttentionInterface``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: The name under which transformers knows this function.
NAME = "lkgrag_blocks"


@dataclass(frozen=True)
class BlockLayout:
    """Where prefix and candidates lie in a batch, computed once and used by every layer.

    Attributes:
        prefix: longest prefix of the batch, in tokens; ``P``.
        flat: int64 ``[B * C * L]``, token of each place of the padded candidates, as an index into the
            flattened ``[B * T]`` tokens; padding points at a token of its own prompt.
        valid: bool ``[B, C, L]``, which places hold a token.
        prefix_bias: ``[B, 1, P, P]``, additive, causal and without padding.
        candidate_bias: ``[B, 1, C * L, P + L]``, additive: the prefix, then the own candidate.
    """

    prefix: int
    flat: Tensor
    valid: Tensor
    prefix_bias: Tensor
    candidate_bias: Tensor

    @classmethod
    def of(cls, block: Tensor, dtype: torch.dtype) -> BlockLayout:
        """Read the layout off the block numbers of a batch.

        Args:
            block: int64 ``[B, T]``: 0 for the prefix, ``c + 1`` for a candidate's tokens, -1 for
                padding. The prefix comes first; a candidate's tokens are contiguous.
            dtype: of the biases, as the attention's.

        Raises:
            ValueError: the prefix does not come first, or a candidate's tokens are not contiguous.
        """
        num, length = block.shape
        is_prefix = block == 0
        prefix_length = is_prefix.sum(1)
        place = torch.arange(length, device=block.device)
        if bool((is_prefix != (place < prefix_length[:, None])).any()):
            raise ValueError("the prefix must come before every candidate")
        prefix = int(prefix_length.max())
        candidates = int(block.max().clamp(min=0))
        # First token and number of tokens of every candidate.
        one_hot = block[:, :, None] == torch.arange(1, candidates + 1, device=block.device)
        count = one_hot.sum(1)
        first = one_hot.to(torch.int8).argmax(1)
        width = int(count.max()) if candidates else 0
        offset = torch.arange(width, device=block.device)
        valid = offset < count[:, :, None]
        token = torch.where(valid, first[:, :, None] + offset, 0)
        numbers = torch.arange(1, candidates + 1, device=block.device)[None, :, None]
        found = block.gather(1, token.view(num, -1)).view(token.shape)
        if bool(((found != numbers) & valid).any()):
            raise ValueError("a candidate's tokens must be contiguous")
        low = torch.finfo(dtype).min
        key_ok = (place[:prefix] < prefix_length[:, None])[:, None, None, :]
        causal = place[:prefix, None] >= place[None, :prefix]
        prefix_bias = torch.zeros(num, 1, prefix, prefix, dtype=dtype, device=block.device)
        prefix_bias.masked_fill_(~(key_ok & causal), low)
        own = (offset[:, None] >= offset[None, :]) & valid[:, :, None, :]
        own = own.view(num, 1, candidates * width, width)
        allowed = torch.cat([key_ok.expand(-1, 1, candidates * width, -1), own], dim=-1)
        candidate_bias = torch.zeros(allowed.shape, dtype=dtype, device=block.device)
        candidate_bias.masked_fill_(~allowed, low)
        row = torch.arange(num, device=block.device)[:, None, None] * length
        return cls(prefix, (row + token).view(-1), valid, prefix_bias, candidate_bias)


def block_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention under a :class:`BlockLayout`, in the signature of transformers' attention functions.

    Args:
        module: the attention layer (unused).
        query: ``[B, H, T, D]``.
        key: ``[B, K, T, D]``, ``K`` divides ``H``.
        value: ``[B, K, T, D]``.
        attention_mask: unused, the layout says it all.
        scaling: of the scores, ``1 / sqrt(D)`` by default.
        dropout: must be 0.
        **options: ``layout`` of the batch, a :class:`BlockLayout`; others are for other attentions.

    Returns:
        ``[B, T, H, D]`` and None.

    Raises:
        ValueError: there is no layout, or dropout is not 0.
    """
    layout: BlockLayout | None = options.get("layout")
    if layout is None or dropout:
        raise ValueError("block attention needs a layout and no dropout")
    num, heads, length, dim = query.shape
    kinds = key.shape[1]
    group = heads // kinds
    prefix = layout.prefix
    _, candidates, width = layout.valid.shape
    query = query * (dim**-0.5 if scaling is None else scaling)
    prefix_key, prefix_value = key[:, :, :prefix], value[:, :, :prefix]

    # The prefix attends to itself.
    q = query[:, :, :prefix].reshape(num, kinds, group * prefix, dim)
    scores = (q @ prefix_key.transpose(-1, -2)).view(num, heads, prefix, prefix)
    weights = torch.softmax(scores + layout.prefix_bias, dim=-1)
    out = weights.view(num, kinds, group * prefix, prefix) @ prefix_value
    out = out.view(num, heads, prefix, dim).transpose(1, 2)
    if not candidates:
        return out.contiguous(), None

    def padded(x: Tensor) -> Tensor:
        """``[B, h, T, D]`` as ``[B, h, C, L, D]``."""
        h = x.shape[1]
        rows = x.transpose(1, 2).reshape(num * length, h * dim).index_select(0, layout.flat)
        return rows.view(num, candidates, width, h, dim).permute(0, 3, 1, 2, 4)

    # Candidates attend to the prefix and to themselves, under one softmax.
    own_q = padded(query).reshape(num, kinds, group, candidates * width, dim)
    scores = own_q.reshape(num, kinds, group * candidates * width, dim) @ prefix_key.transpose(
        -1, -2
    )
    to_prefix = scores.view(num, heads, candidates * width, prefix)
    by_candidate = own_q.view(num, kinds, group, candidates, width, dim).transpose(2, 3)
    by_candidate = by_candidate.reshape(num, kinds, candidates, group * width, dim)
    to_self = by_candidate @ padded(key).transpose(-1, -2)
    to_self = to_self.view(num, kinds, candidates, group, width, width).transpose(2, 3)
    to_self = to_self.reshape(num, heads, candidates * width, width)
    weights = torch.softmax(torch.cat([to_prefix, to_self], -1) + layout.candidate_bias, dim=-1)
    from_prefix = weights[..., :prefix].reshape(num, kinds, -1, prefix) @ prefix_value
    from_prefix = from_prefix.view(num, heads, candidates * width, dim)
    own = weights[..., prefix:].reshape(num, kinds, group, candidates, width, width).transpose(2, 3)
    from_self = own.reshape(num, kinds, candidates, group * width, width) @ padded(value)
    from_self = from_self.view(num, kinds, candidates, group, width, dim).transpose(2, 3)
    mixed = from_prefix + from_self.reshape(num, heads, candidates * width, dim)

    # Back to the order of the tokens; rows of padded places are left out.
    keep = layout.valid.view(-1)
    rows = mixed.transpose(1, 2).reshape(num * candidates * width, heads * dim)[keep]
    result = query.new_zeros(num, length, heads * dim)
    result[:, :prefix] = out.reshape(num, prefix, heads * dim)
    result = result.view(num * length, heads * dim).index_copy(0, layout.flat[keep], rows)
    return result.view(num, length, heads, dim), None


def register() -> str:
    """Make the function known to transformers; return its name for ``attn_implementation``."""
    # Heavy: importing this room must stay quick.
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, block_attention)
    return NAME
