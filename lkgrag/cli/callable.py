"""Commands that are functions too: ``lkgrag.train(config)`` does what ``python -m lkgrag.train`` does."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A module that can be called; the function is imported with the first call."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that :func:`make_callable` named."""
        module, _, name = self.__dict__["__target__"].partition(":")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)


def make_callable(module: str, target: str) -> None:
    """Let a module be called as a function.

    The name of a command's module is also that of the public function, so that one must be the other.

    Args:
        module: its ``__name__``.
        target: the function, as ``package.module:function``.
    """
    this = sys.modules[module]
    this.__class__ = CallableModule
    this.__dict__["__target__"] = target
