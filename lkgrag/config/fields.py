"""The list of options: their keys, defaults and ranges, as the command line and the docs show them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, cast

from lkgrag.config.schema import Config
from lkgrag.errors import ConfigError


def config_fields(
    cls: type = Config, prefix: str = ""
) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Yield ``(dotted key, dataclass field)`` of every option, top level first."""
    sections: list[tuple[str, type]] = []
    for f in dataclasses.fields(cls):
        factory = f.default_factory
        if dataclasses.is_dataclass(factory):
            sections.append((f.name, factory))
        else:
            yield prefix + f.name, f
    for name, section in sections:
        yield from config_fields(section, f"{prefix}{name}.")


def default_of(f: dataclasses.Field[Any]) -> Any:
    """Return the default value of a dataclass field."""
    if f.default is not dataclasses.MISSING:
        return f.default
    assert f.default_factory is not dataclasses.MISSING
    return f.default_factory()


def value_of(config: Config, key: str) -> Any:
    """Return the value of an option by its dotted key."""
    return functools.reduce(getattr, key.split("."), config)


def check_sections(config: Config) -> None:
    """Refuse a configuration made in Python whose sections are of other classes.

    Raises:
        ConfigError: naming the section and its class.
    """
    if not isinstance(config, Config):
        raise ConfigError(f"config: must be a lkgrag.config.Config, got {type(config).__name__}")
    for f in dataclasses.fields(Config):
        section = f.default_factory
        if isinstance(section, type) and not isinstance(getattr(config, f.name), section):
            raise ConfigError(
                f"config.{f.name}: must be a lkgrag.config.{section.__name__}, got "
                f"{type(getattr(config, f.name)).__name__}"
            )


def new_config(values: Mapping[str, Any]) -> Config:
    """Build a configuration from the values of all options by dotted key."""
    sections: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (sections.setdefault(section, {}) if section else top)[name] = value
    for f in dataclasses.fields(Config):
        if f.name in sections:
            top[f.name] = cast(type, f.default_factory)(**sections[f.name])
    return Config(**top)


def range_of(f: dataclasses.Field[Any]) -> str:
    """Describe the range of an option's numbers; the text is empty if there is none."""
    low, high = f.metadata["low"], f.metadata["high"]
    if low is None:
        return ""
    return f"at least {low}" if high is None else f"{low} to {high}"


def show(value: object) -> str:
    """Write a value as it is typed on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(map(str, value)) + "]"
    if isinstance(value, str) and not value.strip():
        # White space is invisible: a tab is shown as it is typed, spaces in quotes for the shell.
        return value.replace("\t", "\\t") if "\t" in value else f"'{value}'"
    return str(value) if value != {} else "{}"
