r"""The linear recurrence :math:`h_t = \lambda \odot h_{t-1} + u_t` as a blocked parallel scan.

Time is cut into about :math:`\sqrt{T}` blocks. All blocks advance together, then each block's last
state is carried into the next: :math:`2\sqrt{T}` vectorised steps in place of :math:`T`, at twice the
products. Without gradients on the CPU, a compiled loop goes step by step. Measured on one core (64 sequences of 100, 128 complex channels), forward and backward: 16 ms;
recursive doubling takes 49 ms, a causal convolution by FFT 45 ms, chunked Toeplitz products 51 ms, and
the plain loop with the same hand-written adjoint 14 ms (but 5 times the kernels on an accelerator).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lkgrag.utils.jit import JIT, compiled


def _blocked(u: Tensor, decay: Tensor) -> Tensor:
    """Run the recurrence along the first dimension.

    Args:
        u: complex ``[T, B, N]``.
        decay: complex ``[N]``.

    Returns:
        Complex ``[T, B, N]``, a new tensor.
    """
    steps, batch, width = u.shape
    length = max(1, math.isqrt(max(steps - 1, 0)) + 1)
    blocks = -(-steps // length)
    h = u.new_zeros(blocks * length, batch, width)
    h[:steps] = u
    h = h.view(blocks, length, batch, width)
    for t in range(1, length):
        h[:, t].addcmul_(decay, h[:, t - 1])
    powers = torch.cumprod(decay.expand(length, width), 0)[:, None]
    for block in range(1, blocks):
        h[block].addcmul_(powers, h[block - 1, -1])
    return h.view(-1, batch, width)[:steps]


class _Scan(torch.autograd.Function):
    """The recurrence with its adjoint, which is the same recurrence backwards in time."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, decay: Tensor) -> Tensor:
        h = _blocked(u, decay)
        ctx.save_for_backward(h, decay)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        h, decay = ctx.saved_tensors
        adjoint = _blocked(grads[0].flip(0), decay.conj().resolve_conj()).flip(0)
        # The derivative of h_t by decay is h_{t-1}, summed over all that follows by the adjoint.
        return adjoint, (h[:-1].conj() * adjoint[1:]).sum((0, 1))


def linear_scan(u: Tensor, decay: Tensor) -> Tensor:
    r"""All states of :math:`h_t = \lambda \odot h_{t-1} + u_t` with :math:`h_{-1} = 0`.

    Args:
        u: complex ``[T, B, N]``, time first.
        decay: complex ``[N]``, :math:`\lambda`.

    Returns:
        Complex ``[T, B, N]``; differentiable in both arguments.
    """
    if JIT and u.device.type == "cpu" and not torch.is_grad_enabled():
        h = u.detach().resolve_conj().numpy().copy()
        compiled_scan(h, decay.detach().resolve_conj().numpy())
        return torch.from_numpy(h)
    return _Scan.apply(u, decay)


@compiled(cache=True, nogil=True)
def compiled_scan(h, decay):  # type: ignore[no-untyped-def]
    """Run the recurrence in place over ``h``, complex ``[T, B, N]``, which holds the inputs."""
    for t in range(1, h.shape[0]):
        for row in range(h.shape[1]):
            before, now = h[t - 1, row], h[t, row]
            for state in range(h.shape[2]):
                now[state] += decay[state] * before[state]
