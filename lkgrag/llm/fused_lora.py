r"""LoRA's product in one fused step: :math:`y = x W^T + s\,(x A^T) B^T`.

peft computes the low-rank part in full precision on a cast copy of the input, and adds it in separate passes
over the output. On a CPU this costs as much as the base product. Here one ``addmm`` in the base's type adds
the low-rank part in place, with master weights in float32. The backward pass forms neither a full-size
gradient of ``W`` nor a cast input. Weights, names and files stay peft's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


class _LoRAProduct(torch.autograd.Function):
    """The product and its gradient with respect to input, ``A`` and ``B``; ``W`` is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        a_low, b_low = a.to(x.dtype), b.to(x.dtype)
        inner = rows @ a_low.T
        out = rows @ weight.T
        out.addmm_(inner, b_low.T, alpha=scale)
        ctx.save_for_backward(rows, weight, a_low, b_low, inner)
        ctx.scale, ctx.shape, ctx.types = scale, x.shape, (a.dtype, b.dtype)
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, a, b, inner = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        low = grad @ b
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x.addmm_(low, a, alpha=ctx.scale)
            grad_x = grad_x.view(ctx.shape)
        grad_a = (low.T @ rows).to(ctx.types[0]) * ctx.scale
        grad_b = (grad.T @ inner).to(ctx.types[1]) * ctx.scale
        return grad_x, None, grad_a, grad_b, None


def fuse_lora(model: nn.Module) -> int:
    """Replace the forward pass of peft's plain LoRA layers; return how many there are.

    Layers with dropout, a bias, DoRA, several active adapters or quantised weights keep peft's forward pass.
    So do all layers under autocast (Accelerate's mixed precision).
    """
    # Heavy: importing this room must stay quick.
    from peft.tuners.lora.layer import Linear

    count = 0
    for module in model.modules():
        if type(module) is Linear and _plain(module):
            # Not a method, which could not be pickled: the class has none of this name.
            module.forward = partial(_forward, module)  # type: ignore[method-assign]
            count += 1
    return count


def _plain(layer: Any) -> bool:
    names = layer.active_adapters
    return (
        len(names) == 1
        and names[0] in layer.lora_A
        and isinstance(layer.lora_dropout[names[0]], nn.Identity)
        and not layer.use_dora.get(names[0], False)
        and type(layer.get_base_layer()) is nn.Linear
        and layer.get_base_layer().bias is None
        and layer.lora_B[names[0]].bias is None
    )


def _forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    # Autocast chooses the types of products one by one, which a product written out would not see.
    mixed = torch.is_autocast_enabled(x.device.type)
    if mixed or layer.disable_adapters or layer.merged or args or kwargs:
        return type(layer).forward(layer, x, *args, **kwargs)
    name = layer.active_adapters[0]
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    return _LoRAProduct.apply(x, layer.get_base_layer().weight, a, b, layer.scaling[name])
