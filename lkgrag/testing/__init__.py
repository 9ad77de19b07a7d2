"""For tests, here and in packages that extend this one: toy graphs and inheritable suites."""

from typing import TYPE_CHECKING, Any

from lkgrag.testing.graph import planted, toy_interactions, toy_kg
from lkgrag.testing.paths import toy_paths

if TYPE_CHECKING:
    from lkgrag.testing.scorer import PathScorerTests

__all__ = ["PathScorerTests", "planted", "toy_interactions", "toy_kg", "toy_paths"]


def __getattr__(name: str) -> Any:
    """The suites need pytest; toy graphs do not."""
    if name == "PathScorerTests":
        from lkgrag.testing.scorer import PathScorerTests

        return PathScorerTests
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
