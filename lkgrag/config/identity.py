"""What a configuration identifies: plain values, their hash, and the name of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.config.documents import dump
from lkgrag.config.schema import DEFAULT_FOLDS, Config, RetrievalConfig
from lkgrag.config.values import of_python

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Keys that say where results go or how a run is carried out, not what is computed.
NOT_HASHED = ("out", "overwrite", "threads", "serving", "engine", "nodes", "cache")

#: Options within sections that are not hashed either. They change results by rounding only, and a run that
#: ran out of memory can continue with smaller values.
CARRIED_OUT = (
    "llm.gradient_checkpointing",
    "training.micro_batch",
    "training.tracker",
    "evaluation.batch_size",
)

#: Options that older versions lack, with the values by which a run computes what it did then. With these it is
#: identified as it was, so that its checkpoint and its stored scores stay valid.
AS_BEFORE = {
    "prompt.items": "title",
    "llm.adapter": "lora",
    "training.batch_tokens": 0,
    "training.residual": False,
    "training.wordless": 0.0,
    "training.held_out": 0.0,
    "evaluation.groups": [],
}
#: Options that count only where users are held out.
OF_HELD_OUT = ("check_every", "patience")


def to_yaml(config: Config) -> str:
    """Write the complete configuration as YAML; ``config=FILE`` reads it back."""
    return dump(to_dict(config))


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """Turn a configuration, or a section of it, into plain values.

    Raises:
        ConfigError: a value is of another type than the option.
    """
    out: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        is_section = dataclasses.is_dataclass(value)
        out[f.name] = to_dict(value) if is_section else of_python(value, f.name, str(f.type))
    return out


def retrieval_identity(config: RetrievalConfig) -> dict[str, Any]:
    """Return the options of stage one, as plain values that identify its results.

    Runs without whole-user folds and without ``new_items`` are identified as in versions that had neither: their
    folders and caches stay valid.
    """
    out = to_dict(config)
    if config.new_items == 0:
        del out["new_items"]
    if config.crossfit != "users":
        del out["crossfit_lists"]
        out["crossfit"] = config.crossfit == "windows"
    if config.crossfit_folds is None:
        out["crossfit_folds"] = DEFAULT_FOLDS[config.crossfit]
    return out


def computed(config: Config) -> dict[str, Any]:
    """Return the options that decide what is computed, as plain values. They identify a run."""
    out = {k: v for k, v in to_dict(config).items() if k not in NOT_HASHED}
    out["retrieval"] = retrieval_identity(config.retrieval)
    for key in CARRIED_OUT:
        section, name = key.split(".")
        del out[section][name]
    if config.training.held_out == 0:
        for name in OF_HELD_OUT:
            del out["training"][name]
    for key, value in AS_BEFORE.items():
        section, name = key.split(".")
        if out[section][name] == value:
            del out[section][name]
    return out


def digest(value: object) -> str:
    """Hash plain values to 16 hexadecimal digits, the same on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_name(config: Config) -> str:
    """Name a run ``<data>-<llm>-<8 hex digits>``, so that the same configuration has the same folder."""
    words = [Path(name).name.lower() for name in (config.data.name, config.llm.name)]
    safe = ["".join(c if c.isalnum() or c in "-._" else "-" for c in w) for w in words]
    return f"{safe[0]}-{safe[1]}-{digest(computed(config))[:8]}"
