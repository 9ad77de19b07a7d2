"""For tests, here and in packages that extend this one: toy graphs and inheritable suites."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from lkgrag.testing.graph import planted, toy_interactions, toy_kg
from lkgrag.testing.paths import toy_paths

if TYPE_CHECKING:
    from lkgrag.testing.metric import MetricTests
    from lkgrag.testing.prompter import PrompterTests
    from lkgrag.testing.reader import ReaderSample, ReaderTests
    from lkgrag.testing.readout import ReadoutTests
    from lkgrag.testing.relation import RelationSourceTests
    from lkgrag.testing.retriever import RetrieverTests
    from lkgrag.testing.scorer import PathScorerTests
    from lkgrag.testing.store import RowReadsTests
    from lkgrag.testing.verbaliser import VerbaliserTests

__all__ = [
    "MetricTests",
    "PathScorerTests",
    "PrompterTests",
    "ReaderSample",
    "ReaderTests",
    "ReadoutTests",
    "RelationSourceTests",
    "RetrieverTests",
    "RowReadsTests",
    "VerbaliserTests",
    "planted",
    "toy_interactions",
    "toy_kg",
    "toy_paths",
]

#: The suites and their modules, which need pytest. It is imported with them, since toy graphs do not need it.
_SUITES = {
    "MetricTests": "metric",
    "PathScorerTests": "scorer",
    "PrompterTests": "prompter",
    "ReaderSample": "reader",
    "ReaderTests": "reader",
    "ReadoutTests": "readout",
    "RelationSourceTests": "relation",
    "RetrieverTests": "retriever",
    "RowReadsTests": "store",
    "VerbaliserTests": "verbaliser",
}


def __getattr__(name: str) -> Any:
    """Import a suite when it is asked for, with assertions that show their values."""
    if name in _SUITES:
        try:
            # Only here: the toy data are of use without pytest.
            import pytest
        except ModuleNotFoundError as error:
            raise ImportError(
                f"lkgrag.testing.{name} needs pytest: pip install pytest, or lkgrag with its extra [test]"
            ) from error

        module = f"lkgrag.testing.{_SUITES[name]}"
        if module not in sys.modules:
            pytest.register_assert_rewrite(module)
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
