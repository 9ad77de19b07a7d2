"""Custom classes, which an option names as ``package.module:Class`` or by an entry point."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.failures import tell_shortly


def import_class(
    target: str, option: str, base: type | tuple[type, ...], name: str | None = None
) -> type[Any]:
    """Import a class.

    Args:
        target: ``package.module:Class``.
        option: the option that names the class, for messages.
        base: the class that it must derive from; if there are several, one of them is enough.
        name: the value of the option, if it is not ``target`` itself.

    Raises:
        ConfigError: the class cannot be imported, is no subclass of ``base``, or is abstract.
    """
    setting = f"{option}={name or target}"
    module_name, _, attribute = target.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{setting}: no module '{error.name}'; install its package, or correct the name"
        ) from error
    except (Exception, SystemExit) as error:  # a module may raise anything when it is imported

        def tell(error: BaseException) -> str:
            return f"{setting}: cannot import {target} ({type(error).__name__}: {error})"

        raise ConfigError(tell_shortly(tell, error)) from error
    if not (inspect.isclass(value) and issubclass(value, base)):
        bases = base if isinstance(base, tuple) else (base,)
        names = [f"{b.__module__.rsplit('.', 1)[0]}.{b.__name__}" for b in bases]
        raise ConfigError(f"{setting}: {target} is no subclass of {' or '.join(names)}")
    if inspect.isabstract(value):
        missing = ", ".join(sorted(getattr(value, "__abstractmethods__", ())))
        raise ConfigError(f"{setting}: {target} has no method {missing}")
    return value


def resolve(
    name: str,
    built_in: Mapping[str, str],
    group: str,
    option: str,
    base: type | tuple[type, ...],
    kind: str,
) -> type[Any]:
    """Find the class that the value of an option names.

    Args:
        name: a name of ``built_in``, the name of an entry point, or ``package.module:Class``. A built-in
            name comes first.
        built_in: the classes of this package by their names, each as ``package.module:Class``.
        group: the group of the entry points.
        option: the option, for messages.
        base: the class that it must derive from; if there are several, one of them is enough.
        kind: a word for such a class, for messages.

    Raises:
        ConfigError: there is no such name, or the class cannot be imported or is of another kind.
    """
    if name in built_in:
        return import_class(built_in[name], option, base, name)
    if ":" in name:
        return import_class(name, option, base)
    points: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
    if name in points:
        return import_class(points[name].value, option, base, name)
    names = sorted({*built_in, *points})
    raise ConfigError(
        f"{option}: no {kind} '{name}'.{nearest(name, names)} There are {', '.join(names)}; "
        "write your own as package.module:Class"
    )


@dataclass(frozen=True)
class Call:
    """A function of a custom class that the program calls, and the options that name it and its arguments.

    Attributes:
        function: a constructor or a class method, not bound to an object.
        cls: the class that it belongs to.
        what: the function in words, as ``the constructor of X``.
        given: names of the arguments that the program gives, all by keyword.
        named_by: the option that names the class, for messages.
        kwargs_of: the option that holds the user's arguments, for messages.
    """

    function: Callable[..., object]
    cls: type
    what: str
    given: tuple[str, ...]
    named_by: str
    kwargs_of: str

    def check(self, kwargs: Mapping[str, object]) -> None:
        """Refuse arguments that the function does not take, and arguments that are missing.

        Args:
            kwargs: the user's arguments.

        Raises:
            ConfigError: the function does not take an argument of the program or of the user, or needs
                another one.
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
        options = [n for n in by_name if n not in self.given]
        label = f"{self.kwargs_of}: {self.cls.__name__}"
        for name in kwargs:
            if name not in options and not open_ended:
                has = f"it has {', '.join(options)}" if options else "it has none"
                raise ConfigError(
                    f"{label} has no option '{name}'.{nearest(name, options)} ({has})"
                )
        for name in options:
            if parameters[name].default is kinds.empty and name not in kwargs:
                raise ConfigError(f"{label} needs the option '{name}'; give it")


def is_custom(value: type) -> bool:
    """Whether a class is defined outside this package."""
    return value.__module__.split(".")[0] != __name__.split(".")[0]


def source_hash(value: type) -> str | None:
    """Hash the source of the module that defines a custom class, because its results depend on that source.

    If the module is the script that is run, only the class is hashed: the rest says what to run.

    Returns:
        The hash; None for a class of this package, which has a version, and if the source is not available.
    """
    if not is_custom(value):
        return None
    try:
        is_script = value.__module__ == "__main__"
        source = inspect.getsource(value if is_script else sys.modules[value.__module__])
    except (OSError, TypeError, KeyError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()
