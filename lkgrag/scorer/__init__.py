"""Path scorers: the contract, the resolver, and one file for each scorer.

A custom scorer needs no registration: ``scorer.name=package.module:Class``. A package may name its
scorers by entry points of the group ``lkgrag.scorers``.
"""

from typing import Any

from lkgrag.scorer.base import PathScorer, PathScores, as_path_scores, candidate_from_salience
from lkgrag.scorer.resolver import GROUP, REGISTERED, build_scorer, code_of, resolve_scorer
from lkgrag.utils.moved import import_moved

__all__ = [
    "GROUP",
    "REGISTERED",
    "PathScorer",
    "PathScores",
    "as_path_scores",
    "build_scorer",
    "candidate_from_salience",
    "code_of",
    "resolve_scorer",
]


def __getattr__(name: str) -> Any:
    """Find names that moved to another room."""
    return import_moved(__name__, name)
