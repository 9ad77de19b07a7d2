"""From presets, files and ``key=value`` to a checked :class:`~lkgrag.config.Config`."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import Field
from importlib import resources
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lkgrag.cli import config_fields, range_of
from lkgrag.config import PUBLISHED, TERMS, Config
from lkgrag.errors import ConfigError, nearest

#: Keys that say where results go or how a run is carried out, not what is computed.
NOT_HASHED = ("out", "overwrite", "threads", "cache")
#: Likewise within sections: what is computed depends on them by rounding alone, and a run that ran out of
#: memory goes on with smaller ones.
CARRIED_OUT = (
    "llm.gradient_checkpointing",
    "training.micro_batch",
    "training.tracker",
    "evaluation.batch_size",
)
SECTIONS = frozenset(key.split(".")[0] for key, _ in config_fields() if "." in key)

#: Index letters that there are, A to Z and a to z.
LETTERS = 52
#: Characters of an unknown key, or of a number, that a message shows.
LONGEST = 60
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
            raise ConfigError(origin + _explain(error)) from error
        except TypeError as error:
            # OmegaConf's, where a list stands for a mapping, or the reverse.
            raise ConfigError(origin + _of_another_form(layer)) from error
    try:
        config = OmegaConf.to_object(base)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error)) from error
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


def _explain(error: OmegaConfBaseException) -> str:
    key = getattr(error, "full_key", None) or "?"
    return f"option '{key}': {str(error).splitlines()[0]}"


def _of_another_form(layer: DictConfig) -> str:
    """Which option is given a list where it takes a mapping, or the reverse."""
    for key, f in config_fields():
        given = OmegaConf.select(layer, key)
        if isinstance(given, ListConfig) and str(f.type).startswith("dict"):
            return f"option '{key}' takes a mapping, as {{name: value}}, got a list"
        if isinstance(given, DictConfig) and str(f.type).startswith("list"):
            return f"option '{key}' takes a list, as [a,b], got a mapping"
    return "an option has a list for a mapping, or a mapping for a list"


def check(config: Config) -> None:
    """Check words and ranges that a type cannot.

    Raises:
        ConfigError: naming the option and what it takes.
    """
    try:
        plain = OmegaConf.structured(config)
    except OmegaConfBaseException as error:
        raise ConfigError(_explain(error)) from error
    for key, f in config_fields():
        value = OmegaConf.select(plain, key)
        choices = f.metadata["choices"]
        if choices and value not in choices:
            raise ConfigError(
                f"option '{key}': {value!r} is none of {', '.join(choices)}."
                f"{nearest(str(value), choices)}"
            )
        for number in value if isinstance(value, ListConfig) else [value]:
            if isinstance(number, int | float):
                _check_range(key, f, number)
    if config.prompt.history > config.paths.history:
        raise ConfigError(
            f"prompt.history={config.prompt.history} is more than paths.history="
            f"{config.paths.history}: a prompt shows the history that paths start from; raise the latter"
        )
    if config.llm.readout == "letters" and config.retrieval.k > LETTERS:
        raise ConfigError(
            f"retrieval.k={config.retrieval.k}: llm.readout=letters has {LETTERS} letters for the "
            "candidates; lower it, or set llm.readout=candidates"
        )
    if config.prompt.verbaliser in PUBLISHED and config.llm.readout != "letters":
        raise ConfigError(
            f"prompt.verbaliser={config.prompt.verbaliser} is read by index letters: "
            "set llm.readout=letters, or preset=reference for the whole published setting"
        )
    for name in config.training.fuse:
        if name not in TERMS:
            raise ConfigError(
                f"training.fuse: {name!r} is no term; choose from scorer and prior, or [] for neither"
            )
    if config.llm.name == "none" and not config.training.fuse:
        raise ConfigError("llm.name=none and training.fuse=[] leave nothing to rank by")
    if not config.evaluation.ks:
        raise ConfigError("option 'evaluation.ks' needs cut-offs, as [5,10,20]")


def _check_range(key: str, f: Field[Any], number: float) -> None:
    low, high = f.metadata["low"], f.metadata["high"]
    # Not of isfinite, which knows no integer beyond a float; NaN fails every comparison.
    finite = abs(number) < math.inf or number in (low, high)
    if finite and (low is None or number >= low) and (high is None or number <= high):
        return
    takes = [words for words in ("" if finite else "a finite number", range_of(f)) if words]
    raise ConfigError(f"option '{key}' must be {', '.join(takes)}, got {str(number)[:LONGEST]}")


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML; ``config=FILE`` reads it back."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration (or a section) as plain values."""
    out = OmegaConf.to_container(OmegaConf.structured(config))
    assert isinstance(out, dict)
    return {str(k): v for k, v in out.items()}


def computed(config: Config) -> dict[str, Any]:
    """The options that say what is computed, as plain values; runs of equal ones are one run."""
    out = {k: v for k, v in to_dict(config).items() if k not in NOT_HASHED}
    for key in CARRIED_OUT:
        section, name = key.split(".")
        del out[section][name]
    return out


def digest(value: Any) -> str:
    """Eight-byte hash of plain values, the same everywhere."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_name(config: Config) -> str:
    """``<data>-<llm>-<8 hex of the configuration>``: the same configuration, the same folder."""
    words = [Path(name).name.lower() for name in (config.data.name, config.llm.name)]
    safe = ["".join(c if c.isalnum() or c in "-._" else "-" for c in w) for w in words]
    return f"{safe[0]}-{safe[1]}-{digest(computed(config))[:8]}"
