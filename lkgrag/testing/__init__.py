"""For tests, here and in packages that extend this one: toy graphs and inheritable suites."""

import importlib
from typing import TYPE_CHECKING, Any

from lkgrag.testing.graph import planted, toy_interactions, toy_kg
from lkgrag.testing.paths import toy_paths

if TYPE_CHECKING:
    from lkgrag.testing.reader import ReaderTests, Sample
    from lkgrag.testing.relation import RelationSourceTests
    from lkgrag.testing.retriever import RetrieverTests
    from lkgrag.testing.scorer import PathScorerTests

__all__ = [
    "PathScorerTests",
    "ReaderTests",
    "RelationSourceTests",
    "RetrieverTests",
    "Sample",
    "planted",
    "toy_interactions",
    "toy_kg",
    "toy_paths",
]

#: The suites and their modules, which need pytest; toy graphs do not.
_SUITES = {
    "PathScorerTests": "scorer",
    "ReaderTests": "reader",
    "RelationSourceTests": "relation",
    "RetrieverTests": "retriever",
    "Sample": "reader",
}


def __getattr__(name: str) -> Any:
    """Import a suite when it is asked for."""
    if name in _SUITES:
        return getattr(importlib.import_module(f"lkgrag.testing.{_SUITES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
