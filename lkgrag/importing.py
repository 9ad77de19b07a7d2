"""Classes of other people's, named by an option as ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    from lkgrag.config import Config


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
    except Exception as error:  # a module may raise anything as it is imported
        cause = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{said}: cannot import {target} ({cause})") from error
    if not (inspect.isclass(value) and issubclass(value, base)):
        where = base.__module__.rsplit(".", 1)[0]
        raise ConfigError(f"{said}: {target} is no subclass of {where}.{base.__name__}")
    if inspect.isabstract(value):
        missing = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
        raise ConfigError(f"{said}: {target} has no method {missing}")
    return value


def of_others(value: type) -> bool:
    """Whether a class is someone else's, not of this package."""
    return value.__module__.split(".")[0] != __name__.split(".")[0]


def source_hash(value: type) -> str | None:
    """A hash of the module that someone else's class is written in: what it computes depends on it.

    Of a script that is run, it is the class alone: the rest of the script says what is run.

    Returns:
        None for a class of this package, which follows its version, and where the source is not to be had.
    """
    if not of_others(value):
        return None
    try:
        script = value.__module__ == "__main__"
        source = inspect.getsource(value if script else sys.modules[value.__module__])
    except (OSError, TypeError, KeyError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()


def code_of_others(config: Config) -> dict[str, str]:
    """Hashes of the code of others that a run computes with, by the option that names it.

    Raises:
        ConfigError: a scorer or verbaliser cannot be imported.
    """
    from lkgrag.config import PUBLISHED
    from lkgrag.prompt.verbaliser import resolve_verbaliser
    from lkgrag.scorer import code_of

    found = {"scorer.name": code_of(config.scorer.name)}
    if config.prompt.verbaliser not in PUBLISHED:
        found["prompt.verbaliser"] = source_hash(resolve_verbaliser(config.prompt.verbaliser))
    return {option: code for option, code in found.items() if code is not None}
