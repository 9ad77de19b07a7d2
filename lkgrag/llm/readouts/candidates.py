"""The candidates readout: a linear head on the hidden state at each candidate's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lkgrag.llm.readouts.base import Attention, at, refuse_sliding_windows
from lkgrag.llm.readouts.linear import LinearReadout
from lkgrag.prompt.layout import PromptLayout

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from lkgrag.prompt import TokenBatch


class CandidateReadout(LinearReadout):
    """A linear head on the hidden state of each candidate's last token.

    Candidates do not see one another, so the order in which they stand moves no score.
    """

    layout = PromptLayout.CANDIDATES
    attention = Attention.BLOCKS

    @classmethod
    def check(cls, model_config: PretrainedConfig) -> None:
        """Refuse a model with a layer that does not attend to the whole prompt.

        Raises:
            ModelError: there is such a layer.
        """
        refuse_sliding_windows(model_config, "candidates")

    def features(self, hidden: Tensor, tokens: TokenBatch) -> Tensor:
        """The hidden states at the candidates' ends, ``[B, C, D]``, divided by :attr:`scale`."""
        return at(hidden, tokens.read) / self.scale
