"""Addresses that were public in earlier versions. They still work, with a ``DeprecationWarning``.

A new address is a string here and is imported on first use, so that no room imports a higher one.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

#: Modules that are gone, and the modules that hold their names now; the first one that has a name gives it.
MODULES: dict[str, tuple[str, ...]] = {
    "lkgrag.cache": ("lkgrag.run.cache", "lkgrag.utils.locks"),
    "lkgrag.fusion": ("lkgrag.ranker.fusion", "lkgrag.ranker.fusion_weights"),
    "lkgrag.kg.audit": ("lkgrag.kg.checks.audit",),
    "lkgrag.llm.letters": ("lkgrag.prompt.letters",),
    "lkgrag.llm.readout": (
        "lkgrag.llm.readouts.base",
        "lkgrag.llm.readouts.candidates",
        "lkgrag.llm.readouts.letters",
    ),
    "lkgrag.options": (
        "lkgrag.config.loading",
        "lkgrag.config.identity",
        "lkgrag.config.checks",
    ),
    "lkgrag.pipeline": ("lkgrag.run.pipeline",),
    "lkgrag.prompt.verbaliser": (
        "lkgrag.prompt.verbalisers.base",
        "lkgrag.prompt.verbalisers.compact",
        "lkgrag.prompt.resolver",
    ),
    "lkgrag.recommendation": ("lkgrag.serving.recommendation", "lkgrag.utils.text"),
    "lkgrag.retrieval.own": ("lkgrag.retrieval.resolver", "lkgrag.retrieval.custom"),
    "lkgrag.review": ("lkgrag.run.reevaluate",),
}
#: Names that a room no longer has, and the modules that hold them now.
NAMES: dict[tuple[str, str], str] = {
    ("lkgrag.scorer", "Pretraining"): "lkgrag.training.pretraining",
    ("lkgrag.scorer", "pretrain"): "lkgrag.training.pretraining",
}


def import_moved(room: str, name: str) -> Any:
    """Import a name that moved out of a room, with a warning. The room's ``__getattr__`` calls this.

    Raises:
        AttributeError: the room never had that name.
    """
    if (room, name) not in NAMES:
        raise AttributeError(f"module {room!r} has no attribute {name!r}")
    home = NAMES[room, name]
    warnings.warn(
        f"{room}.{name} is now {home}.{name}; the old address goes with version 0.3",
        DeprecationWarning,
        stacklevel=3,
    )
    return getattr(importlib.import_module(home), name)


class _MovedModule(ModuleType):
    """Stands in for a module that is gone."""

    def __getattr__(self, name: str) -> Any:
        """Return the name from the module that holds it now."""
        if not name.startswith("__"):
            for home in MODULES[self.__name__]:
                module = importlib.import_module(home)
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class MovedModules(MetaPathFinder, Loader):
    """Finds the modules of :data:`MODULES` that no other finder finds."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Describe the stand-in for a module that is gone."""
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Create the stand-in, with a warning."""
        warnings.warn(
            f"{spec.name} is now {MODULES[spec.name][0]}; the old address goes with version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return _MovedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing: the stand-in has no code."""


def install() -> None:
    """Make Python find the old addresses. A second call changes nothing."""
    if not any(type(finder).__name__ == MovedModules.__name__ for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
