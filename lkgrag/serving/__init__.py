"""Serving: the ranker that ranks for people, its requests and results, its saved form, and bulk rankings.

:class:`~lkgrag.serving.ranker.Ranker` has the address ``lkgrag.Ranker``.
"""

from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.context import Context
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation
from lkgrag.serving.requests import Request

__all__ = [
    "Catalogue",
    "Context",
    "PathExplanation",
    "RankedItem",
    "Ranker",
    "Recommendation",
    "Request",
]
