"""Prompts: from paths and saliences to batches of tokens.

Paths of one candidate and one meta-path form a bundle. A verbaliser puts bundles in words; a prompter
puts instruction, history, titles and words into prompts of a layout that a readout can read, within a
budget of tokens. Below this room are the graph and its paths, above it the language model.
"""

from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.budget import within_budget
from lkgrag.prompt.builder import build_prompter
from lkgrag.prompt.bundles import Bundles, Grades, bundle_paths
from lkgrag.prompt.collate import TokenBatch
from lkgrag.prompt.layout import PromptLayout
from lkgrag.prompt.order import CandidateOrder
from lkgrag.prompt.prompter import Prompter
from lkgrag.prompt.published import PublishedPrompter
from lkgrag.prompt.resolver import register_verbaliser
from lkgrag.prompt.titles import clean_title
from lkgrag.prompt.verbalisers.base import Verbaliser

__all__ = [
    "BasePrompter",
    "Bundles",
    "CandidateOrder",
    "Grades",
    "PromptLayout",
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
