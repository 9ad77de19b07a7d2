"""lkgrag: recommendation ranking with a language model and the paths of a knowledge graph."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lkgrag.ranker.model import Ranker

__all__ = ["Ranker", "__version__"]


def __getattr__(name: str) -> Any:
    """``lkgrag.Ranker`` is imported when asked for, so that ``--help`` needs no torch."""
    if name == "Ranker":
        from lkgrag.ranker.model import Ranker

        return Ranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
