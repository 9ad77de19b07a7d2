"""The letters readout: logits of the index letters at the answer position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lkgrag.llm.logits import find_rule, head_rows
from lkgrag.llm.lora import base_model
from lkgrag.llm.readouts.base import Attention, Readout, at
from lkgrag.prompt.layout import PromptLayout

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lkgrag.config import LLMConfig
    from lkgrag.prompt import TokenBatch


class LetterReadout(Readout):
    """The model's own logits of the index letters at the answer position, of no other token.

    It reads any model whose logits :func:`~lkgrag.llm.logits.find_rule` can compute, and has no weights.
    """

    layout = PromptLayout.LETTERS
    attention = Attention.CAUSAL

    def __init__(self, model: PreTrainedModel, config: LLMConfig, seed: int) -> None:
        super().__init__(model, config, seed)
        self._rule = find_rule(model)
        # In a list, so that the model is no submodule. LoRA changes it in place, its head too.
        self._model = [model]

    def forward(self, hidden: Tensor, tokens: TokenBatch) -> Tensor:
        """Logits of each slot's letter, ``[B, C]``; see :meth:`Readout.forward`."""
        head = base_model(self._model[0]).get_output_embeddings()
        state = at(hidden, tokens.read)
        return self._rule(head_rows(head, state, tokens.letter.clamp(min=0)))
