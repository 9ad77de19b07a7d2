"""Serving: the ranker that ranks for people, its requests and results, its saved form, and bulk rankings.

:class:`~lkgrag.serving.ranker.Ranker` has the address ``lkgrag.Ranker``. The names below are imported on
their first use. So a command can read a run's configuration, and refuse a wrong one, without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lkgrag.serving.catalogue import Catalogue
    from lkgrag.serving.context import Context
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import (
        PathExplanation,
        RankedItem,
        Recommendation,
        Recommendations,
    )
    from lkgrag.serving.requests import Request

__all__ = [
    "Catalogue",
    "Context",
    "PathExplanation",
    "RankedItem",
    "Ranker",
    "Recommendation",
    "Recommendations",
    "Request",
]

_MODULES = {
    "Catalogue": "catalogue",
    "Context": "context",
    "PathExplanation": "recommendation",
    "RankedItem": "recommendation",
    "Ranker": "ranker",
    "Recommendation": "recommendation",
    "Recommendations": "recommendation",
    "Request": "requests",
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"lkgrag.serving.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
