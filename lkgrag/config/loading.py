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

#: Keys whose value is a text, or a text or nothing.
TEXTS = frozenset(key for key, f in config_fields() if f.type in ("str", "str | None"))


def presets() -> list[str]:
    """Names of the shipped presets."""
    folder = resources.files("lkgrag") / "conf"
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_config(overrides: dict[str, str], extra: dict[str, Any] | None = None) -> Config:
    """Merge defaults, preset, file and overrides, in rising precedence, and check every value.

    Args:
        overrides: ``key -> text`` as typed; ``preset`` and ``config`` name files.
        extra: further typed values, ``dotted key -> value``, of the highest precedence.

    Raises:
        ConfigError: an unknown key (with the nearest one), a wrong type, a word that is not allowed.
    """
    base = OmegaConf.structured(Config)
    # Each with its file, for messages; the command line has none.
    layers: list[tuple[DictConfig, str]] = []
    overrides = dict(overrides)
    preset = overrides.pop("preset", None)
    file = overrides.pop("config", None)
    loaded = _read(Path(file), f"config={file}") if file is not None else None
    if preset is None and loaded is not None:
        # A file may name a preset as the command line does; what else it holds comes on top.
        preset = loaded.get("preset")
    if preset is not None and preset != "null":
        for name in str(preset).split(","):
            layers += _preset(name, str(preset))
        layers.append((OmegaConf.create({"preset": preset}), ""))
    if loaded is not None:
        layers.append((loaded, f"config={file}: "))
    layers.append((_typed(overrides), ""))
    if extra:
        layers.append((_nested(extra), ""))
    known = [key for key, _ in config_fields()]
    for layer, origin in layers:
        _check_keys(layer, known, origin)
        name = OmegaConf.select(layer, "scorer.name")
        if name is not None and name != base.scorer.name:
            # Another scorer does not take the options of the one that a preset had named.
            base.scorer.kwargs = {}
        try:
            base = OmegaConf.merge(base, layer)
        except OmegaConfBaseException as error:
            raise ConfigError(origin + explain_error(error)) from error
        except TypeError as error:
            # OmegaConf's, where a list stands for a mapping, or the reverse.
            raise ConfigError(origin + _of_another_form(layer)) from error
    try:
        config = OmegaConf.to_object(base)
    except OmegaConfBaseException as error:
        raise ConfigError(explain_error(error)) from error
    assert isinstance(config, Config)
    check(config)
    return config


def _preset(name: str, said: str) -> list[tuple[DictConfig, str]]:
    """A shipped preset's layer, below it that of the preset that it builds on by its own key ``preset``."""
    path = resources.files("lkgrag") / "conf" / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"preset={said}: no such preset.{nearest(name, presets())} "
            f"There are: {', '.join(presets())}"
        )
    layer = _read(Path(str(path)), f"preset={name}")
    below = layer.pop("preset", None)
    return [*(_preset(below, said) if below else []), (layer, f"preset={name}: ")]


def _read(path: Path, name: str) -> DictConfig:
    try:
        layer = OmegaConf.load(path)
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file; give a YAML, as a run's config.yaml") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror}); give a YAML file") from error
    except Exception as error:  # YAML has many errors; all mean that the file is not readable
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{name}: not readable as YAML ({first})") from error
    if not isinstance(layer, DictConfig):
        raise ConfigError(f"{name}: a configuration must be a mapping of keys to values")
    return layer


def _typed(overrides: dict[str, str]) -> DictConfig:
    """Turn ``a.b -> text`` into a nested configuration; texts are YAML scalars, lists or mappings."""
    layer = OmegaConf.create({})
    for key, text in overrides.items():
        if key in SECTIONS:
            raise _section_error(key, text)
        try:
            if key in TEXTS and text != "null" and not _quoted(text):
                # Taken as typed: `007`, `no`, `::` and `|` mean something else in YAML.
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


def _quoted(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""


def _nested(values: dict[str, Any]) -> DictConfig:
    layer = OmegaConf.create({})
    for key, value in values.items():
        OmegaConf.update(layer, key, value)
    return layer


def _section_error(key: str, value: Any) -> ConfigError:
    hint = f", as {key}.name={value}" if key in ("data", "llm", "scorer") else ""
    return ConfigError(f"'{key}' is a section, not an option: write {key}.<option>=...{hint}")


def _check_keys(layer: DictConfig, known: list[str], origin: str, prefix: str = "") -> None:
    for name in layer:
        key = f"{prefix}{name!s}"
        if key in known:
            continue
        if not prefix and key in SECTIONS:
            child = layer[name]
            if not isinstance(child, DictConfig):
                raise _section_error(key, child)
            _check_keys(child, known, origin, f"{key}.")
            continue
        full = ".".join([key, *_first_leaf(layer[name])])[:LONGEST]
        raise ConfigError(f"{origin}unknown option {full!r}.{nearest(full, known)} See --help")


def _first_leaf(value: Any) -> list[str]:
    """The keys down to the first value of a nested configuration."""
    if not isinstance(value, DictConfig) or not value:
        return []
    name = next(iter(value))
    return [str(name), *_first_leaf(value[name])]


def _of_another_form(layer: DictConfig) -> str:
    """Which option is given a list where it takes a mapping, or the reverse."""
    for key, f in config_fields():
        given = OmegaConf.select(layer, key)
        if isinstance(given, ListConfig) and str(f.type).startswith("dict"):
            return f"option '{key}' takes a mapping, as {{name: value}}, got a list"
        if isinstance(given, DictConfig) and str(f.type).startswith("list"):
            return f"option '{key}' takes a list, as [a,b], got a mapping"
    return "an option has a list for a mapping, or a mapping for a list"
