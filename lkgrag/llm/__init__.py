"""The language model: loading, LoRA, index letters, readouts, path gates."""

from lkgrag.llm.loading import load_llm
from lkgrag.llm.scorer import LMScorer
from lkgrag.prompt.letters import LETTERS, letter_ids

__all__ = ["LETTERS", "LMScorer", "letter_ids", "load_llm"]
