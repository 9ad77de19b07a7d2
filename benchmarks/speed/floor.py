"""The physical limit of a language model's passes: its products over the best rate of this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.common import rate, say

if TYPE_CHECKING:
    from torch import Tensor

#: Rows of the products that the sweep tries, as a batch of prompts has tokens.
ROWS = (512, 1024, 2048, 4096)


def best_rate(config: Any, dtype: torch.dtype, seconds: float) -> float:
    """Multiply-adds a second, times 2, of the fastest matrix product: of 2048^3 and the model's shapes.

    Args:
        config: of the language model.
        dtype: of the products.
        seconds: to spend on each shape.
    """
    wide, narrow = config.intermediate_size, config.hidden_size
    shapes = [(2048, 2048, 2048)]
    shapes += [(rows, narrow, wide) for rows in ROWS] + [(rows, wide, narrow) for rows in ROWS]
    shapes += [(rows, narrow, narrow) for rows in ROWS]
    best = 0.0
    for m, k, n in shapes:
        a, b = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
        found = rate(lambda a=a, b=b: torch.nn.functional.linear(a, b), 2 * m * k * n, seconds)  # type: ignore[misc]
        best = max(best, found)
    say(f"  best product: {best / 1e9:,.0f} G operations a second")
    return best


def products_seconds(model: Any, tokens: int, seconds: float) -> float:
    """Seconds of one pass of a Llama's linear products alone, each at its own shape, without anything between them.

    Narrow products run below the best rate. So this is the time that no implementation of the same model on this
    machine's matrix library can go below.

    Args:
        model: a Llama.
        tokens: of the pass.
        seconds: to spend on each shape.
    """
    layer = model.model.layers[0]
    out = 0.0
    for module in layer.modules():
        if isinstance(module, torch.nn.Linear):
            weight = module.weight.detach()
            x = torch.randn(tokens, weight.shape[1]).to(weight.dtype)
            product = partial(torch.nn.functional.linear, x, weight)
            out += 1 / rate(product, 1, seconds)
    return out * len(model.model.layers)


def forward_operations(model: Any, lengths: Tensor) -> float:
    """Operations of one pass over prompts: every layer's products, and attention's.

    Args:
        model: a Llama.
        lengths: int64 ``[B]``, real tokens of each prompt.
    """
    c = model.config
    parameters = sum(
        p.numel() for n, p in model.named_parameters() if "embed" not in n and "lm_head" not in n
    )
    tokens = float(lengths.sum())
    # Scores and their sums, each half of a square since attention is causal.
    attention = 2.0 * c.num_hidden_layers * c.hidden_size * float((lengths.double() ** 2).sum())
    return 2.0 * parameters * tokens + attention
