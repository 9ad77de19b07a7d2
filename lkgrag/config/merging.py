"""Layers of options, merged by OmegaConf, which keeps every value to the type that the schema declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import getitem
from typing import Any

from lkgrag.config.fields import config_fields
from lkgrag.config.schema import Config
from lkgrag.errors import ConfigError

#: A character of private use, and what follows it in place of itself, of what begins an interpolation, and of
#: OmegaConf's word for a missing value.
_ESCAPE = "\ue0f0"
_CODES = {_ESCAPE: f"{_ESCAPE}0", "$": f"{_ESCAPE}1", "???": f"{_ESCAPE}2"}
_WORDS = {code: word for word, code in _CODES.items()}


def merge_layers(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge layers over the defaults, in rising precedence. A mapping adds to an earlier one.

    Args:
        layers: values by dotted key, of the types that the schema declares.

    Returns:
        The value of every option by dotted key. Texts are as they were given: nothing is interpolated.

    Raises:
        ConfigError: a value is of another type.
    """
    # Only here: it is heavy, and `--help` needs none of it.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    merged = OmegaConf.structured(Config, flags={"allow_objects": True})
    for layer in layers:
        name = layer.get("scorer.name")
        if name is not None and name != _restored(merged.scorer.name):
            # The options of the scorer that a preset named are not those of another scorer.
            merged.scorer.kwargs = {}
        for key, value in layer.items():
            try:
                OmegaConf.update(merged, key, _guarded(value), merge=True)
            except (OmegaConfBaseException, TypeError) as error:
                first = str(error).splitlines()[0]
                raise ConfigError(f"option '{key}': {_restored(first)}") from error
    values: Any = OmegaConf.to_container(merged, resolve=False)
    return {key: _restored(reduce(getitem, key.split("."), values)) for key, _ in config_fields()}


def _guarded(value: Any) -> Any:
    """The value with texts in which OmegaConf sees nothing but texts."""

    def guard(text: str) -> str:
        return _CODES.get(text) or re.sub(f"[{_ESCAPE}$]", lambda m: _CODES[m[0]], text)

    return _map_texts(value, guard)


def _restored(value: Any) -> Any:
    """What was given to :func:`_guarded`."""
    return _map_texts(value, lambda t: re.sub(f"{_ESCAPE}.", lambda m: _WORDS[m[0]], t))


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The value with all its texts changed, but not the keys of mappings."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_texts(v, change) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(v, change) for v in value]
    return value
