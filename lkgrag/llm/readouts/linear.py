"""The contract of a linear readout: a head of one output on features of each candidate."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lkgrag.llm.lora import backbone
from lkgrag.llm.readouts.base import Readout

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lkgrag.config import LLMConfig
    from lkgrag.prompt import TokenBatch

#: Standard deviation of the scores that a fresh head gives.
INITIAL_SCORE = 0.1


class LinearReadout(Readout):
    """A linear head on features of the size of a hidden state, in float32.

    The head starts so small that scores start near 0, whatever the model. Before training it is fitted to
    the features of the untouched model (:func:`lkgrag.training.probe.probe_head`).

    Attributes:
        head: ``D`` to 1, without a bias: what all candidates share moves no choice among them.
        scale: root mean square of the model's last hidden states, which differs from model to model.
    """

    scale: Tensor

    def __init__(self, model: PreTrainedModel, config: LLMConfig, seed: int) -> None:
        super().__init__(model, config, seed)
        embedding: Any = model.get_input_embeddings()
        hidden_size = int(embedding.weight.shape[1])
        # Made without values, so that the seed given here decides and no global one is used up.
        self.head = nn.Linear(hidden_size, 1, bias=False, device="meta").to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.head.weight.normal_(0.0, INITIAL_SCORE / hidden_size**0.5, generator=generator)
        self.register_buffer("scale", torch.tensor(hidden_scale(backbone(model))))

    @abstractmethod
    def features(self, hidden: Tensor, tokens: TokenBatch) -> Tensor:
        """What the head multiplies.

        Args:
            hidden: ``[B, T, D]``.
            tokens: the prompts.

        Returns:
            ``[B, C, D]``, float32, of a mean square about 1; the values of an empty slot are not used.
        """

    def forward(self, hidden: Tensor, tokens: TokenBatch) -> Tensor:
        """The head's product, ``[B, C]``; see :meth:`Readout.forward`."""
        return self.head(self.features(hidden, tokens)).squeeze(-1)


def hidden_scale(decoder: nn.Module) -> float:
    """Root mean square of the last hidden states, as far as the last norm's weight tells; 1 without one."""
    weight = getattr(getattr(decoder, "norm", None), "weight", None)
    if weight is None:
        return 1.0
    return max(float(weight.detach().float().pow(2).mean().sqrt()), 1e-3)
