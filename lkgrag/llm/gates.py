r"""Path gates: the language model's loss teaches the scorer which paths are worth wording.

The hidden state of every token of a worded bundle is multiplied by :math:`1 + s - \mathrm{sg}(s)`,
where :math:`s` is the bundle's salience and sg stops the gradient: exactly 1 in the forward pass, with
the gradient of a gate in the backward pass (a straight-through estimator, Bengio et al.,
arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def gate(hidden: Tensor, salience: Tensor, bundle: Tensor) -> Tensor:
    """Multiply hidden states by straight-through gates.

    Args:
        hidden: ``[B, T, D]``.
        salience: ``[num_bundles]``.
        bundle: int64 ``[B, T]``, the bundle of each token, -1 for none.

    Returns:
        ``[B, T, D]``, bit-equal to ``hidden``; its gradient reaches ``salience``.

    Raises:
        ValueError: a salience is not finite.
    """
    if not bool(torch.isfinite(salience).all()):
        raise ValueError("a path's salience must be finite")
    return _Gate.apply(hidden, salience, bundle)


class _Gate(torch.autograd.Function):
    """Identity, whose gradient to a bundle's salience is <gradient, hidden> over its tokens.

    This is the gradient of the product. Written out, it touches the worded tokens only, and sums in float32
    where the model computes in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, salience: Tensor, bundle: Tensor) -> Tensor:
        token = (bundle.reshape(-1) >= 0).nonzero().squeeze(1)
        number = bundle.reshape(-1)[token]
        ctx.save_for_backward(hidden.reshape(-1, hidden.shape[-1])[token], token, number)
        ctx.num_bundles, ctx.dtype = len(salience), salience.dtype
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        worded, token, number = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])[token]
        product = (grad.float() * worded.float()).sum(1)
        out = product.new_zeros(ctx.num_bundles).scatter_add(0, number, product)
        return grads[0], out.to(ctx.dtype), None


#: Name of the argument that carries ``(salience, bundle)`` through the model to its layers.
ARGUMENT = "path_gate"


def install(layer: nn.Module) -> RemovableHandle:
    """Gate the input of a decoder layer in every forward pass that brings gates.

    Gates travel as the keyword argument :data:`ARGUMENT` of the model. So a layer that is computed again under
    gradient checkpointing sees the same gates.

    Args:
        layer: its first argument, or ``hidden_states``, is gated.
    """
    return layer.register_forward_pre_hook(_gate_input, with_kwargs=True)


def _gate_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The layer's arguments, gated; a function of the module, so that models with it can be pickled."""
    gates = kwargs.get(ARGUMENT)
    if gates is None:
        return None
    if args:
        return (gate(args[0], *gates), *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": gate(kwargs["hidden_states"], *gates)}
