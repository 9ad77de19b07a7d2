"""From presets, files and ``key=value`` to a checked :class:`~lkgrag.config.Config`."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lkgrag.config.checks import LONGEST, check
from lkgrag.config.documents import compose, pairs_of
from lkgrag.config.fields import config_fields, new_config, value_of
from lkgrag.config.merging import merge_layers
from lkgrag.config.schema import Config
from lkgrag.config.values import inner_kind, of_node, of_python, of_text
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.files import user_path

#: The type of each option, as the schema writes it.
KINDS = {key: str(f.type) for key, f in config_fields()}
SECTIONS = frozenset(key.split(".")[0] for key in KINDS if "." in key)

#: What older versions called some values, in lower case, by option: configurations of their runs stay readable.
OLD_WORDS = {"retrieval.crossfit": {"true": "windows", "false": "none"}}

#: Values by dotted key.
Layer = dict[str, Any]


def presets() -> list[str]:
    """List the names of the shipped presets."""
    return _yaml_names()


def spaces() -> list[str]:
    """List the names of the shipped spaces of :mod:`lkgrag.tune`."""
    return _yaml_names("spaces")


def _yaml_names(*parts: str) -> list[str]:
    folder = resources.files("lkgrag").joinpath("conf", *parts)
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
    layers: list[Layer] = []
    overrides = dict(overrides)
    preset = overrides.pop("preset", None)
    file = overrides.pop("config", None)
    from_file = _read(user_path(file, "config"), f"config={file}") if file is not None else None
    if preset is None and from_file is not None:
        # A file may name a preset as the command line does; its other options override the preset.
        preset = from_file.get("preset")
    if preset is not None and preset != "null":
        for name in str(preset).split(","):
            layers += _read_preset(name, str(preset))
        layers.append({"preset": preset})
    if from_file is not None:
        layers.append(from_file)
    layers.append(_parse_overrides(overrides))
    if extra:
        layers.append(_parse_overrides(extra))
    config = new_config(merge_layers(layers))
    check(config)
    return expand_paths(config)


def expand_paths(config: Config) -> Config:
    """The same configuration with the home folder for ``~`` in every path.

    Raises:
        ConfigError: a path is empty, or begins with ``~name``, and there is no such user.
    """
    values = {key: value_of(config, key) for key in KINDS}
    for key, f in config_fields():
        if not f.metadata["path"] or values[key] is None:
            continue
        if values[key] == "":
            raise ConfigError(f"option '{key}': there is no path; name a folder, or leave it out")
        if str(values[key]).startswith("~"):
            values[key] = str(user_path(values[key], key))
    return new_config(values)


def _merge(old: Any, new: Any) -> Any:
    """A mapping adds to an earlier one, any other value takes its place."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _read_preset(name: str, option: str) -> list[Layer]:
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
    return [*(_read_preset(parent, option) if parent else []), layer]


def _read(path: Path, name: str) -> Layer:
    """The values of a YAML file; messages begin with ``name``."""
    try:
        with open(path, "rb") as file:
            root = compose(file)
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file; give a YAML, as a run's config.yaml") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read ({error.strerror}); give a YAML file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{name}: not readable as YAML ({first})") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return {}
    if isinstance(root, yaml.ScalarNode):
        raise _unknown(root.value, f"{name}: ")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name}: a configuration must be a mapping of keys to values")
    layer: Layer = {}
    _walk(root, "", name, layer)
    return layer


def _walk(node: yaml.MappingNode, prefix: str, name: str, layer: Layer) -> None:
    """Put the options below a node of a file into a layer."""
    for word, value in pairs_of(node, name):
        key = f"{prefix}{word}"
        if key in KINDS:
            try:
                layer[key] = of_node(_translated(key, value), key, KINDS[key])
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from error
        elif key in SECTIONS:
            if isinstance(value, yaml.MappingNode):
                _walk(value, f"{key}.", name, layer)
            elif not isinstance(value, yaml.ScalarNode) or value.value not in ("", "null", "{}"):
                raise _section_error(key, getattr(value, "value", ""))
        else:
            raise _unknown(".".join([key, *_keys_to_first_value(value)]), f"{name}: ")


def _translated(key: str, node: yaml.Node) -> yaml.Node:
    """The node with today's word in place of an older version's."""
    word = OLD_WORDS.get(key, {}).get(str(node.value).lower())
    return node if word is None else yaml.ScalarNode("tag:yaml.org,2002:str", word)


def _parse_overrides(overrides: dict[str, str]) -> Layer:
    """Turn ``a.b -> text`` into values by option.

    The key of a mapping may follow its option, as ``scorer.kwargs.dim=8``.
    """
    layer: Layer = {}
    for key, text in overrides.items():
        option, words = option_of(key, text)
        kind = KINDS[option]
        for _ in words:
            kind = inner_kind(kind) or "str"
        word = OLD_WORDS.get(option, {}).get(str(text).lower())
        if word is not None:
            value: Any = word
        elif isinstance(text, str):
            value = of_text(text, key, kind)
        else:
            value = of_python(text, key, kind)
        for word in reversed(words):
            value = {word: value}
        layer[option] = _merge(layer.get(option), value)
    return layer


def option_of(key: str, text: object) -> tuple[str, list[str]]:
    """The option that a dotted key names, and the keys within its mapping.

    Raises:
        ConfigError: it is a section, or unknown.
    """
    if key in SECTIONS:
        raise _section_error(key, text)
    words = key.split(".")
    for number in range(len(words), 0, -1):
        option, rest = ".".join(words[:number]), words[number:]
        kind = KINDS.get(option)
        # A mapping of texts has no mappings in it.
        depth = {"dict[str, str]": 1}.get(kind or "", len(rest) if inner_kind(kind or "") else 0)
        if kind is not None and len(rest) <= depth and all(rest):
            return option, rest
    raise _unknown(key)


def _unknown(key: str, origin: str = "") -> ConfigError:
    key = key[:LONGEST]
    return ConfigError(f"{origin}unknown option {key!r}.{nearest(key, KINDS)} See --help")


def _section_error(key: str, value: object) -> ConfigError:
    hint = f", as {key}.name={value}" if key in ("data", "llm", "scorer") else ""
    return ConfigError(f"'{key}' is a section, not an option: write {key}.<option>=...{hint}")


def _keys_to_first_value(node: yaml.Node) -> list[str]:
    """List the keys that lead to the first value of a nested node."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        return []
    name, value = node.value[0]
    return [str(name.value), *_keys_to_first_value(value)]
