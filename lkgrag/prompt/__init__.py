"""Prompts: bundles of paths in words, a template, a token budget, and batches of tokens."""

from lkgrag.prompt.budget import within_budget
from lkgrag.prompt.bundles import Bundles, Grades, bundle_paths
from lkgrag.prompt.collate import TokenBatch
from lkgrag.prompt.prompter import Prompter
from lkgrag.prompt.titles import clean_title
from lkgrag.prompt.verbaliser import Verbaliser, register_verbaliser

__all__ = [
    "Bundles",
    "Grades",
    "Prompter",
    "TokenBatch",
    "Verbaliser",
    "bundle_paths",
    "clean_title",
    "register_verbaliser",
    "within_budget",
]
