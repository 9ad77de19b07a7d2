r"""Attention for prompts made of a shared prefix and candidates that must not see each other.

A token of a candidate attends to the prefix and to its own candidate only. The stock way is a dense
additive mask of shape ``[B, 1, T, T]``, of which most entries forbid; here only the allowed parts are
computed: candidates against the prefix, and each candidate against itself, under one softmax. The
result is the same function (after InvariRank, arXiv 2604.27599), at about a quarter of the products.

The tokens of all prompts lie in one row, without padding (:meth:`BlockLayout.pack`), so that the products of the
linear layers are of real tokens only.

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

    ``N`` tokens of ``B`` prompts lie in one row, prompt after prompt.

    Attributes:
        shape: ``(B, T)`` of the padded prompts.
        tokens: int64 ``[N]``, the tokens that are no padding, as indices into the flattened ``[B * T]``.
        prefix: longest prefix of the batch, in tokens; ``P``.
        prefix_flat: int64 ``[B * P]``, token of each place of the padded prefixes, as an index into the row;
            padding points at a token of its own prompt.
        prefix_valid: bool ``[B, P]``, which places hold a token.
        flat: int64 ``[B * C * L]``, token of each place of the padded candidates, likewise.
        valid: bool ``[B, C, L]``, which places hold a token.
        prefix_bias: ``[B, 1, P, P]``, additive, causal and without padding.
        candidate_bias: ``[B, 1, C * L, P + L]``, additive: the prefix, then the own candidate.
    """

    shape: tuple[int, int]
    tokens: Tensor
    prefix: int
    prefix_flat: Tensor
    prefix_valid: Tensor
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
        # Of each token its place in the row of all that are no padding.
        real = block.reshape(-1) >= 0
        place_in_row = (real.cumsum(0) - 1).clamp(min=0).view(num, length)
        prefix_valid = place[:prefix] < prefix_length[:, None]
        prefix_token = torch.where(prefix_valid, place[:prefix], 0)
        return cls(
            shape=(num, length),
            tokens=real.nonzero().squeeze(1),
            prefix=prefix,
            prefix_flat=place_in_row.gather(1, prefix_token).view(-1),
            prefix_valid=prefix_valid,
            flat=place_in_row.gather(1, token.view(num, -1)).view(-1),
            valid=valid,
            prefix_bias=prefix_bias,
            candidate_bias=candidate_bias,
        )

    def pack(self, values: Tensor) -> Tensor:
        """Values of padded prompts ``[B, T]`` as one row ``[1, N]``."""
        return values.reshape(-1)[self.tokens][None]

    def unpack(self, hidden: Tensor) -> Tensor:
        """Hidden states of the row ``[1, N, D]`` as padded prompts ``[B, T, D]``, 0 in padding."""
        num, length = self.shape
        out = hidden.new_zeros(num * length, hidden.shape[-1])
        return out.index_copy(0, self.tokens, hidden[0]).view(num, length, -1)


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
        query: ``[1, H, N, D]``, the tokens of all prompts in one row.
        key: ``[1, K, N, D]``, ``K`` divides ``H``.
        value: ``[1, K, N, D]``.
        attention_mask: unused, the layout says it all.
        scaling: of the scores, ``1 / sqrt(D)`` by default.
        dropout: must be 0.
        **options: ``layout`` of the batch, a :class:`BlockLayout`; others are for other attentions.

    Returns:
        ``[1, N, H, D]`` and None.

    Raises:
        ValueError: there is no layout, or dropout is not 0.
    """
    layout: BlockLayout | None = options.get("layout")
    if layout is None or dropout:
        raise ValueError("block attention needs a layout and no dropout")
    # Under autocast the positions have turned queries and keys into float32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    _, heads, total, dim = query.shape
    kinds = key.shape[1]
    group = heads // kinds
    prefix = layout.prefix
    num, candidates, width = layout.valid.shape
    scale = dim**-0.5 if scaling is None else scaling
    # A row a token, so that the places of prefixes and candidates are rows to pick.
    rows_q, rows_k, rows_v = (
        x[0].transpose(0, 1).reshape(total, -1) for x in (query * scale, key, value)
    )

    def prefixes(rows: Tensor, h: int) -> Tensor:
        """``[N, h * D]`` as ``[B, h, P, D]``."""
        return rows.index_select(0, layout.prefix_flat).view(num, prefix, h, dim).transpose(1, 2)

    # The prefix attends to itself.
    prefix_key, prefix_value = prefixes(rows_k, kinds), prefixes(rows_v, kinds)
    q = prefixes(rows_q, heads).reshape(num, kinds, group * prefix, dim)
    scores = (q @ prefix_key.transpose(-1, -2)).view(num, heads, prefix, prefix)
    weights = torch.softmax(scores + layout.prefix_bias, dim=-1)
    out = weights.view(num, kinds, group * prefix, prefix) @ prefix_value
    out = out.view(num, heads, prefix, dim).transpose(1, 2).reshape(num * prefix, heads * dim)
    is_token = layout.prefix_valid.view(-1)
    result = query.new_zeros(total, heads * dim)
    result = result.index_copy(0, layout.prefix_flat[is_token], out[is_token])
    if not candidates:
        return result.view(1, total, heads, dim), None

    def padded(rows: Tensor, h: int) -> Tensor:
        """``[N, h * D]`` as ``[B, h, C, L, D]``."""
        picked = rows.index_select(0, layout.flat).view(num, candidates, width, h, dim)
        return picked.permute(0, 3, 1, 2, 4)

    # Candidates attend to the prefix and to themselves, under one softmax.
    own_q = padded(rows_q, heads).reshape(num, kinds, group, candidates * width, dim)
    scores = own_q.reshape(num, kinds, group * candidates * width, dim) @ prefix_key.transpose(
        -1, -2
    )
    to_prefix = scores.view(num, heads, candidates * width, prefix)
    by_candidate = own_q.view(num, kinds, group, candidates, width, dim).transpose(2, 3)
    by_candidate = by_candidate.reshape(num, kinds, candidates, group * width, dim)
    to_self = by_candidate @ padded(rows_k, kinds).transpose(-1, -2)
    to_self = to_self.view(num, kinds, candidates, group, width, width).transpose(2, 3)
    to_self = to_self.reshape(num, heads, candidates * width, width)
    weights = torch.softmax(torch.cat([to_prefix, to_self], -1) + layout.candidate_bias, dim=-1)
    from_prefix = weights[..., :prefix].reshape(num, kinds, -1, prefix) @ prefix_value
    from_prefix = from_prefix.view(num, heads, candidates * width, dim)
    own = weights[..., prefix:].reshape(num, kinds, group, candidates, width, width).transpose(2, 3)
    own = own.reshape(num, kinds, candidates, group * width, width)
    from_self = own @ padded(rows_v, kinds)
    from_self = from_self.view(num, kinds, candidates, group, width, dim).transpose(2, 3)
    mixed = from_prefix + from_self.reshape(num, heads, candidates * width, dim)

    # Back to the order of the tokens; rows of padded places are left out.
    keep = layout.valid.view(-1)
    rows = mixed.transpose(1, 2).reshape(num * candidates * width, heads * dim)[keep]
    result = result.index_copy(0, layout.flat[keep], rows)
    return result.view(1, total, heads, dim), None


def register() -> str:
    """Make the function known to transformers; return its name for ``attn_implementation``."""
    # Heavy: importing this room must stay quick.
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, block_attention)
    return NAME
