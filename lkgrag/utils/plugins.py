"""Classes of other people's, named by an option as ``package.module:Class``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lkgrag.errors import ConfigError, nearest

if TYPE_CHECKING:
    pass


def import_class(
    target: str, option: str, base: type | tuple[type, ...], given: str | None = None
) -> Any:
    """Import a class.

    Args:
        target: ``package.module:Class``.
        option: that names it, for messages.
        base: that it must derive from; of several, from one.
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
    except (Exception, SystemExit) as error:  # a module may raise anything as it is imported
        cause = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{said}: cannot import {target} ({cause})") from error
    if not (inspect.isclass(value) and issubclass(value, base)):
        bases = base if isinstance(base, tuple) else (base,)
        names = [f"{b.__module__.rsplit('.', 1)[0]}.{b.__name__}" for b in bases]
        raise ConfigError(f"{said}: {target} is no subclass of {' or '.join(names)}")
    if inspect.isabstract(value):
        missing = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
        raise ConfigError(f"{said}: {target} has no method {missing}")
    return value


def resolve(
    name: str,
    known: Mapping[str, str],
    group: str,
    option: str,
    base: type | tuple[type, ...],
    kind: str,
) -> Any:
    """The class that an option means.

    Args:
        name: of ``known``, of an entry point, or ``package.module:Class``. This package's names come first.
        known: this package's own, as ``package.module:Class``.
        group: of the entry points.
        option: that says it, for messages.
        base: that the class must derive from; of several, from one.
        kind: what it is, for messages.

    Raises:
        ConfigError: there is no such name, or the class cannot be imported or is of another kind.
    """
    if name in known:
        return import_class(known[name], option, base, name)
    if ":" in name:
        return import_class(name, option, base)
    found: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
    if name in found:
        return import_class(found[name].value, option, base, name)
    names = sorted({*known, *found})
    raise ConfigError(
        f"{option}: no {kind} '{name}'.{nearest(name, names)} There are {', '.join(names)}; "
        "write your own as package.module:Class"
    )


@dataclass(frozen=True)
class Call:
    """Something of someone else's that the program calls, and the options that name it and its arguments.

    Attributes:
        function: a constructor or a class method; not bound to an object.
        cls: whose it is.
        what: in words, as ``the constructor of X``.
        given: the arguments that the program gives, all by name.
        named_by: the option that names it, for messages.
        kwargs_of: the option of the user's own arguments, for messages.
    """

    function: Callable[..., Any]
    cls: type
    what: str
    given: tuple[str, ...]
    named_by: str
    kwargs_of: str

    def check(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse what it does not take, and what it misses.

        Args:
            kwargs: the user's own arguments.

        Raises:
            ConfigError: it does not take an argument of the program's or of the user's, or needs one more.
        """
        parameters = inspect.signature(self.function).parameters
        kinds = inspect.Parameter
        by_name = [
            n
            for n, p in parameters.items()
            if n != "self" and p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
        ]
        open_ended = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
        for name in self.given:
            if name in kwargs:
                raise ConfigError(
                    f"{self.kwargs_of}: '{name}' is given by the program; leave it out"
                )
            if name not in by_name and not open_ended:
                raise ConfigError(
                    f"{self.named_by}: {self.what} must take {', '.join(self.given)} by name; it has "
                    f"no '{name}'"
                )
        own = [n for n in by_name if n not in self.given]
        label = f"{self.kwargs_of}: {self.cls.__name__}"
        for name in kwargs:
            if name not in own and not open_ended:
                has = f"it has {', '.join(own)}" if own else "it has none"
                raise ConfigError(f"{label} has no option '{name}'.{nearest(name, own)} ({has})")
        for name in own:
            if parameters[name].default is kinds.empty and name not in kwargs:
                raise ConfigError(f"{label} needs the option '{name}'; give it")


def is_custom(value: type) -> bool:
    """Whether a class is someone else's, not of this package."""
    return value.__module__.split(".")[0] != __name__.split(".")[0]


def source_hash(value: type) -> str | None:
    """A hash of the module that someone else's class is written in: what it computes depends on it.

    Of a script that is run, it is the class alone: the rest of the script says what is run.

    Returns:
        None for a class of this package, which follows its version, and where the source is not to be had.
    """
    if not is_custom(value):
        return None
    try:
        script = value.__module__ == "__main__"
        source = inspect.getsource(value if script else sys.modules[value.__module__])
    except (OSError, TypeError, KeyError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()
