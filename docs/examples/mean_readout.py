"""Reads a candidate by the mean of its tokens' hidden states, in place of the last token's."""

import torch

from lkgrag.llm import LinearReadout
from lkgrag.llm.readouts import Attention
from lkgrag.prompt import PromptLayout


class MeanReadout(LinearReadout):
    """A linear head on the mean over each candidate's block."""

    layout = PromptLayout.CANDIDATES
    attention = Attention.BLOCKS

    def features(self, hidden, tokens):
        """What the head multiplies, ``[B, C, D]``."""
        slots = torch.arange(1, tokens.read.shape[1] + 1, device=hidden.device)
        # Whether a token belongs to a candidate, [B, C, T].
        mine = (tokens.block[:, None, :] == slots[None, :, None]).float()
        count = mine.sum(-1, keepdim=True).clamp(min=1)
        return mine @ hidden.float() / count / self.scale
