"""The list of options: their keys, defaults and ranges, as the command line and the docs show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from lkgrag.config.schema import Config


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
