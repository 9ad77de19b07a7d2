"""Classes of other people's, named by an option as ``package.module:Class``."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from lkgrag.errors import ConfigError


def imported(target: str, option: str, base: type, given: str | None = None) -> Any:
    """Import a class.

    Args:
        target: ``package.module:Class``.
        option: that names it, for messages.
        base: that it must derive from.
        given: what the option says, where that is another name of it.

    Raises:
        ConfigError: it cannot be imported, is no subclass of ``base``, or is abstract.
    """
    said = f"{option}={given or target}"
    module_name, _, attribute = target.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{said}: no module '{error.name}'; install its package, or correct the name"
        ) from error
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{said}: cannot import {target} ({error})") from error
    if not (inspect.isclass(value) and issubclass(value, base)):
        where = base.__module__.rsplit(".", 1)[0]
        raise ConfigError(f"{said}: {target} is no subclass of {where}.{base.__name__}")
    if inspect.isabstract(value):
        missing = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
        raise ConfigError(f"{said}: {target} has no method {missing}")
    return value
