"""The candidates readout: a linear head on the hidden state at each candidate's end."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lkgrag.llm.readouts.base import at


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
