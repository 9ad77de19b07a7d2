"""Serving: the ranker that answers people, its requests and answers, its saved form, and all users at once.

:class:`~lkgrag.serving.ranker.Ranker` has the address ``lkgrag.Ranker``. Names are imported when they are
asked for: a command reads a run's configuration from here, and says what is wrong with it, without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "Catalogue": "catalogue",
    "Context": "context",
    "PathExplanation": "recommendation",
    "RankedItem": "recommendation",
    "Ranker": "ranker",
    "Recommendation": "recommendation",
    "Request": "requests",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"lkgrag.serving.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
