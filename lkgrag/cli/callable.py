"""Commands that are also functions: ``lkgrag.train(config)`` does what ``python -m lkgrag.train`` does."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module that can be called; the first call imports the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that :func:`make_callable` named."""
        module, _, name = self.__dict__["__target__"].partition(":")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)


def make_callable(module: str, target: str) -> None:
    """Let a module be called as a function.

    A command's module and the public function share one name in the package, so they must be one object.

    Args:
        module: the ``__name__`` of the module.
        target: the function, as ``package.module:function``.
    """
    this = sys.modules[module]
    this.__class__ = CallableModule
    this.__dict__["__target__"] = target
