"""Values of ``key=value`` options that are no part of the configuration, read and checked."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, nearest

if TYPE_CHECKING:
    from lkgrag.cli import Command


def whole_number(pairs: dict[str, str], key: str, default: int) -> int:
    """The value of an option that takes a whole number of at least 1.

    Raises:
        ConfigError: naming the option.
    """
    text = pairs.get(key, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"option '{key}': {text!r} is no whole number of at least 1")
    return int(text)


def switch(pairs: dict[str, str], key: str, default: bool) -> bool:
    """The value of an option that is true or false.

    Raises:
        ConfigError: naming the option.
    """
    text = pairs.get(key, str(default)).lower()
    if text not in ("true", "false"):
        raise ConfigError(f"option '{key}': {text!r} is neither true nor false")
    return text == "true"


def parse_list(text: str) -> list[str]:
    """``[a,b]`` or ``a,b``; double quotes protect a comma.

    Raises:
        ConfigError: quotes that do not close.
    """
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    if not inner.strip():
        return []
    if inner.count('"') % 2:
        raise ConfigError(f"a quote does not close in {text[:60]!r}")
    return [item.strip() for item in next(csv.reader([inner], skipinitialspace=True))]


def check_options(pairs: dict[str, str], command: Command) -> None:
    """Refuse options that the command does not have, and ask for ``run``.

    Raises:
        ConfigError: naming the option.
    """
    for key in pairs:
        if key not in command.options:
            raise ConfigError(f"unknown option '{key}'.{nearest(key, command.options)} See --help")
    if "run" not in pairs:
        raise ConfigError("option 'run' is missing: run=<folder of a finished run>")
