"""The language model: from prompts in tokens to one score a candidate.

It is loaded (in 4 bits where asked), gets LoRA, and runs once a prompt; a readout reads the scores off its
last hidden states. Gates on the tokens of worded paths let its loss teach the path scorer. Below this room
are the prompts, above it the ranker.
"""

from lkgrag.llm.loading import load_llm
from lkgrag.llm.readouts.base import Readout
from lkgrag.llm.readouts.linear import LinearReadout
from lkgrag.llm.scorer import LMScorer
from lkgrag.prompt.letters import LETTERS, letter_ids

__all__ = ["LETTERS", "LMScorer", "LinearReadout", "Readout", "letter_ids", "load_llm"]
