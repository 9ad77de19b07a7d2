"""Path scorers: the contract, the resolver, and training alone.

A scorer of your own needs no registration: ``scorer.name=package.module:Class``. A package may give
its scorers names by entry points of the group ``lkgrag.scorers``.
"""

from lkgrag.scorer.base import PathScorer, PathScores, as_path_scores, candidate_from_salience
from lkgrag.scorer.resolver import GROUP, REGISTERED, build_scorer, code_of, resolve_scorer
from lkgrag.training.pretraining import Pretraining, pretrain

__all__ = [
    "GROUP",
    "REGISTERED",
    "PathScorer",
    "PathScores",
    "Pretraining",
    "as_path_scores",
    "build_scorer",
    "candidate_from_salience",
    "code_of",
    "pretrain",
    "resolve_scorer",
]
