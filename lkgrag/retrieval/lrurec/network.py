r"""LRURec: linear recurrent units for sequential recommendation (arXiv 2310.02367).

Each layer is a diagonal complex recurrence :math:`h_t = \lambda h_{t-1} + \gamma (B x_t)`,
:math:`y_t = \Re(C h_t)` with :math:`\lambda = e^{-e^\nu + i e^\theta}`, so that :math:`|\lambda| < 1`
(arXiv 2303.06349), followed by a position-wise feed-forward network. Causal: no output looks ahead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.retrieval.lrurec.scan import linear_scan

#: Range of the initial moduli of the recurrence, as in the paper.
RADIUS = (0.8, 0.99)
#: Complex states a unit of width, and hidden units of the feed-forward network a unit of width. The
#: paper has 2 and 4; these did as well on ml-100k's validation at 60 % of the time.
STATES, EXPANSION = 1, 2
#: Standard deviation of random embeddings.
NOISE = 0.02
#: Names of the parameters of the recurrence; weight decay would change the memory's length.
RECURRENCE = ("nu", "theta", "log_gamma")


@dataclass(frozen=True)
class Cut:
    """The sequences of a batch that a process computes, where several share the batch.

    Attributes:
        columns: which ones.
        whole: number of sequences of the batch.
    """

    columns: slice
    whole: int


class Dropout(nn.Module):
    """Dropout that draws one byte a value: torch's took a quarter of the training time on a CPU.

    Args:
        p: share that is set to 0, rounded to 1/256.

    Attributes:
        cut: the part of a batch that is given; then draws are made for the whole batch, so that every process has
            those of one process alone. None for a whole batch.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.cut: Cut | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Drop in training, keeping the mean; the identity in evaluation."""
        zeros = round(self.p * 256)
        if not self.training or zeros == 0:
            return x
        shape = x.shape if self.cut is None else (len(x), self.cut.whole, *x.shape[2:])
        number = math.prod(shape)
        draws = torch.empty(-(-number // 8), dtype=torch.int64, device=x.device)
        draws.random_(-(2**63), None)
        bytes_ = draws.view(torch.uint8)[:number].view(shape)
        keep = (bytes_ if self.cut is None else bytes_[:, self.cut.columns]) >= zeros
        return x * keep * (256.0 / (256 - zeros))


class LRULayer(nn.Module):
    """One linear recurrent unit with a residual connection and layer norm.

    Args:
        width: of input and output.
        dropout: on the output before the residual sum.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        states = STATES * width
        low, high = RADIUS
        # Uniform on the ring between the two radii.
        modulus = torch.sqrt(torch.rand(states) * (high**2 - low**2) + low**2)
        self.nu = nn.Parameter(torch.log(-torch.log(modulus)))
        self.theta = nn.Parameter(torch.log(torch.rand(states).clamp_min(1e-4) * 2 * math.pi))
        self.log_gamma = nn.Parameter(0.5 * torch.log1p(-(modulus**2)))
        # A complex projection of a real vector is a real one to (real, imaginary) pairs.
        self.into = nn.Linear(width, 2 * states)
        self.out = nn.Linear(2 * states, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def decay(self) -> Tensor:
        """The recurrence's diagonal, complex ``[N]``, inside the unit circle."""
        return torch.polar(torch.exp(-torch.exp(self.nu)), torch.exp(self.theta))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, B, width]`` to the same shape, time first."""
        return self._read(x, self._states(x))

    def last(self, x: Tensor, place: Tensor) -> Tensor:
        """The output at one place of each sequence.

        Args:
            x: as in :meth:`forward`.
            place: int64 ``[B]``, which place.

        Returns:
            Shape ``[B, width]``.
        """
        row = torch.arange(len(place), device=place.device)
        return self._read(x[place, row], self._states(x)[place, row])

    def _states(self, x: Tensor) -> Tensor:
        """The recurrence's states, complex ``[T, B, N]``."""
        pairs = self.into(x).unflatten(-1, (-1, 2)) * torch.exp(self.log_gamma)[:, None]
        return linear_scan(torch.view_as_complex(pairs), self.decay())

    def _read(self, x: Tensor, states: Tensor) -> Tensor:
        """The output for inputs ``[..., width]`` and their states ``[..., N]``."""
        y = self.out(torch.view_as_real(states).flatten(-2))
        return self.norm(x + self.dropout(y))


class FeedForward(nn.Module):
    """The position-wise network with a residual connection and layer norm."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(width, EXPANSION * width)
        self.down = nn.Linear(EXPANSION * width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., width]`` to the same shape."""
        y = self.down(self.dropout(F.gelu(self.up(x), approximate="tanh")))
        return self.norm(x + self.dropout(y))


class LRURec(nn.Module):
    """The whole model, with input and output embeddings tied.

    Args:
        num_items: ``I``; index ``I`` pads.
        width: of the embeddings and layers.
        blocks: number of recurrent and feed-forward pairs.
        dropout: on embeddings, layers and their hidden units.
    """

    def __init__(self, num_items: int, width: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.num_items = num_items
        self.embedding = nn.Embedding(num_items + 1, width, padding_idx=num_items)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            nn.Sequential(LRULayer(width, dropout), FeedForward(width, dropout))
            for _ in range(blocks)
        )
        nn.init.trunc_normal_(self.embedding.weight, std=NOISE, a=-2 * NOISE, b=2 * NOISE)
        with torch.no_grad():
            self.embedding.weight[num_items] = 0.0

    def encode(self, items: Tensor) -> Tensor:
        """States after each item.

        Args:
            items: int64 ``[T, B]``, oldest first; padding (``I``) only at the end.

        Returns:
            Shape ``[T, B, width]``.
        """
        x = self.dropout(self.norm(self.embedding(items)))
        for layer in self.layers:
            x = layer(x)
        return x

    def encode_last(self, items: Tensor, place: Tensor) -> Tensor:
        """States after one item of each sequence; the last layers compute no others.

        Args:
            items: as in :meth:`encode`.
            place: int64 ``[B]``, which item.

        Returns:
            Shape ``[B, width]``.
        """
        x = self.dropout(self.norm(self.embedding(items)))
        if not len(self.layers):
            return x[place, torch.arange(len(place), device=place.device)]
        for layer in self.layers[:-1]:
            x = layer(x)
        recurrent, feed_forward = self.layers[-1].children()
        assert isinstance(recurrent, LRULayer)
        state: Tensor = feed_forward(recurrent.last(x, place))
        return state

    def logits(self, states: Tensor) -> Tensor:
        """Scores of all items, ``[..., width]`` to ``[..., I]``."""
        return F.linear(states, self.embedding.weight[: self.num_items], self.bias)

    def cut(self, cut: Cut | None) -> None:
        """Say which sequences of a batch the next passes get; None for whole batches."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.cut = cut

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters for the optimiser: none of the recurrence, norms or biases is decayed."""
        decayed: list[nn.Parameter] = []
        free: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            plain = parameter.dim() < 2 or name.rsplit(".", 1)[-1] in RECURRENCE
            (free if plain else decayed).append(parameter)
        return [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
