"""From presets, files and ``key=value`` to a checked :class:`~lkgrag.config.Config`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lkgrag.config.checks import LONGEST, check, explain_error
from lkgrag.config.fields import config_fields
from lkgrag.config.schema import Config
from lkgrag.errors import ConfigError, nearest

SECTIONS = frozenset(key.split(".")[0] for key, _ in config_fields() if "." in key)

#: Keys that take a text, or a text or null.
TEXTS = frozenset(key for key, f in config_fields() if f.type in ("str", "str | None"))

#: What older versions called some values, in lower case, by option: configurations of their runs stay readable.
OLD_WORDS = {"retrieval.crossfit": {"true": "windows", "false": "none"}}


def presets() -> list[str]:
    """List the names of the shipped presets."""
    folder = resources.files("lkgrag") / "conf"
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_config(overrides: dict[str, str], extra: dict[str, Any] | None = None) -> Config:
    """Merge defaults, preset, file and overrides, in rising precedence, and check every value.

    Args:
        overrides: ``key -> text`` as typed; ``preset`` and ``config`` name files.
        extra: further values with types, ``dotted key -> value``, of the highest precedence.

    Raises:
        ConfigError: a key is unknown (the message names the nearest one), a type is wrong, or a word is not
            allowed.
    """
    base = OmegaConf.structured(Config)
    # Each layer with its file for messages; the command line has none.
    layers: list[tuple[DictConfig, str]] = []
    overrides = dict(overrides)
    preset = overrides.pop("preset", None)
    file = overrides.pop("config", None)
    from_file = _read(Path(file), f"config={file}") if file is not None else None
    if preset is None and from_file is not None:
        # A file may name a preset as the command line does; its other options override the preset.
        preset = from_file.get("preset")
    if preset is not None and preset != "null":
        for name in str(preset).split(","):
            layers += _read_preset(name, str(preset))
        layers.append((OmegaConf.create({"preset": preset}), ""))
    if from_file is not None:
        layers.append((from_file, f"config={file}: "))
    layers.append((_parse_overrides(overrides), ""))
    if extra:
        layers.append((_nest(extra), ""))
    keys = [key for key, _ in config_fields()]
    for layer, origin in layers:
        _check_keys(layer, keys, origin)
        _translate_old_words(layer)
        name = OmegaConf.select(layer, "scorer.name")
        if name is not None and name != base.scorer.name:
            # The options of the scorer that a preset named are not those of another scorer.
            base.scorer.kwargs = {}
        try:
            base = OmegaConf.merge(base, layer)
        except OmegaConfBaseException as error:
            raise ConfigError(origin + explain_error(error)) from error
        except TypeError as error:
            # OmegaConf raises this if an option gets a list for a mapping, or the reverse.
            raise ConfigError(origin + _explain_wrong_container(layer)) from error
    try:
        config = OmegaConf.to_object(base)
    except OmegaConfBaseException as error:
        raise ConfigError(explain_error(error)) from error
    assert isinstance(config, Config)
    check(config)
    return config


def _read_preset(name: str, option: str) -> list[tuple[DictConfig, str]]:
    """Read a shipped preset. If it builds on another one by its key ``preset``, that one comes first.

    Args:
        name: of the preset.
        option: the value of ``preset``, for messages.
    """
    path = resources.files("lkgrag") / "conf" / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"preset={option}: no such preset.{nearest(name, presets())} "
            f"There are: {', '.join(presets())}"
        )
    layer = _read(Path(str(path)), f"preset={name}")
    parent = layer.pop("preset", None)
    return [*(_read_preset(parent, option) if parent else []), (layer, f"preset={name}: ")]


def _read(path: Path, name: str) -> DictConfig:
    try:
        layer = OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file; give a YAML, as a run's config.yaml") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror}); give a YAML file") from error
    except Exception as error:  # OmegaConf raises many errors for a file that it cannot read
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{name}: not readable as YAML ({first})") from error
    if not isinstance(layer, DictConfig):
        raise ConfigError(f"{name}: a configuration must be a mapping of keys to values")
    return layer


def _parse_overrides(overrides: dict[str, str]) -> DictConfig:
    """Turn ``a.b -> text`` into a nested configuration; a text is a YAML scalar, list or mapping."""
    layer = OmegaConf.create({})
    for key, text in overrides.items():
        if key in SECTIONS:
            raise _section_error(key, text)
        try:
            if key in TEXTS and text != "null" and not _is_quoted(text):
                # The text is taken as typed: `007`, `no`, `::` and `|` mean something else in YAML.
                value = OmegaConf.create()
                OmegaConf.update(value, key, text)
            else:
                value = OmegaConf.from_dotlist([f"{key}={text}"])
        except Exception as error:
            raise ConfigError(f"option '{key}': {text!r} is not readable as a value") from error
        try:
            layer = cast(DictConfig, OmegaConf.merge(layer, value))
        except OmegaConfBaseException as error:
            raise ConfigError(f"option '{key}' contradicts another option") from error
    return layer


def _is_quoted(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""


def _nest(values: dict[str, Any]) -> DictConfig:
    layer = OmegaConf.create({})
    for key, value in values.items():
        OmegaConf.update(layer, key, value)
    return layer


def _section_error(key: str, value: object) -> ConfigError:
    hint = f", as {key}.name={value}" if key in ("data", "llm", "scorer") else ""
    return ConfigError(f"'{key}' is a section, not an option: write {key}.<option>=...{hint}")


def _check_keys(layer: DictConfig, keys: list[str], origin: str, prefix: str = "") -> None:
    for name in layer:
        key = f"{prefix}{name!s}"
        if key in keys:
            continue
        if not prefix and key in SECTIONS:
            child = layer[name]
            if not isinstance(child, DictConfig):
                raise _section_error(key, child)
            _check_keys(child, keys, origin, f"{key}.")
            continue
        full = ".".join([key, *_keys_to_first_value(layer[name])])[:LONGEST]
        raise ConfigError(f"{origin}unknown option {full!r}.{nearest(full, keys)} See --help")


def _translate_old_words(layer: DictConfig) -> None:
    """Replace the values of older versions by today's words, in place."""
    for key, words in OLD_WORDS.items():
        word = words.get(str(OmegaConf.select(layer, key)).lower())
        if word is not None:
            OmegaConf.update(layer, key, word)


def _keys_to_first_value(value: object) -> list[str]:
    """List the keys that lead to the first value of a nested configuration."""
    if not isinstance(value, DictConfig) or not value:
        return []
    name = next(iter(value))
    return [str(name), *_keys_to_first_value(value[name])]


def _explain_wrong_container(layer: DictConfig) -> str:
    """Say which option has a list but takes a mapping, or the reverse."""
    for key, f in config_fields():
        value = OmegaConf.select(layer, key)
        if isinstance(value, ListConfig) and str(f.type).startswith("dict"):
            return f"option '{key}' takes a mapping, as {{name: value}}, got a list"
        if isinstance(value, DictConfig) and str(f.type).startswith("list"):
            return f"option '{key}' takes a list, as [a,b], got a mapping"
    return "an option has a list but takes a mapping, or has a mapping but takes a list"
