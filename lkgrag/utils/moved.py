"""Addresses that were public in earlier versions: they still work, with a ``DeprecationWarning``.

The new address is given in words and imported when it is asked for, so that no room imports a higher one.
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

#: Modules that are gone, and where their names are now; the first module that has a name gives it.
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
#: Names that a room no longer has, and where they are now.
NAMES: dict[tuple[str, str], str] = {
    ("lkgrag.scorer", "Pretraining"): "lkgrag.training.pretraining",
    ("lkgrag.scorer", "pretrain"): "lkgrag.training.pretraining",
}


def moved_name(room: str, name: str) -> Any:
    """A name that moved out of a room; to be called by the room's ``__getattr__``.

    Raises:
        AttributeError: the room never had it.
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


class _Moved(ModuleType):
    """Stands for a module that is gone."""

    def __getattr__(self, name: str) -> Any:
        """The name from where it is now."""
        if not name.startswith("__"):
            for home in MODULES[self.__name__]:
                module = importlib.import_module(home)
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class MovedModules(MetaPathFinder, Loader):
    """Finds modules of :data:`MODULES` that nothing else finds."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A stand-in for a module that is gone."""
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stand-in."""
        warnings.warn(
            f"{spec.name} is now {MODULES[spec.name][0]}; the old address goes with version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return _Moved(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run."""


def install() -> None:
    """Let Python find the old addresses, once."""
    if not any(type(finder).__name__ == MovedModules.__name__ for finder in sys.meta_path):
        sys.meta_path.append(MovedModules())
