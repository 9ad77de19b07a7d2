"""Prompts: bundles of paths in words, a template, a token budget, and batches of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.config import PUBLISHED
from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.budget import within_budget
from lkgrag.prompt.bundles import Bundles, Grades, bundle_paths
from lkgrag.prompt.collate import TokenBatch
from lkgrag.prompt.prompter import Prompter
from lkgrag.prompt.published import PublishedPrompter
from lkgrag.prompt.titles import clean_title
from lkgrag.prompt.verbalisers.base import Verbaliser
from lkgrag.prompt.verbalisers.resolver import register_verbaliser

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig


def build_prompter(
    tokenizer: PreTrainedTokenizerBase, data: HeteroData, config: PromptConfig, readout: str
) -> BasePrompter:
    """The prompter that ``prompt.verbaliser`` asks for; see :class:`Prompter` for the arguments.

    Raises:
        ConfigError: no such wording.
        ValueError: it cannot be read by that readout.
    """
    if config.verbaliser in PUBLISHED:
        return PublishedPrompter(tokenizer, data, config, readout)
    return Prompter(tokenizer, data, config, readout)


__all__ = [
    "BasePrompter",
    "Bundles",
    "Grades",
    "Prompter",
    "PublishedPrompter",
    "TokenBatch",
    "Verbaliser",
    "build_prompter",
    "bundle_paths",
    "clean_title",
    "register_verbaliser",
    "within_budget",
]
