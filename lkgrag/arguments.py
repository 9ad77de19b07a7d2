"""Values of ``key=value`` options that are no part of the configuration, read and checked."""

from __future__ import annotations

from lkgrag.errors import ConfigError


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
