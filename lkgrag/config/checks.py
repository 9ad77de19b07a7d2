"""Checks beyond the types of the options: their words, their ranges, and contradictions between options."""

from __future__ import annotations

import math
from dataclasses import Field
from importlib.metadata import entry_points
from typing import Any

from lkgrag.config.documents import NONE
from lkgrag.config.fields import check_sections, config_fields, range_of, value_of
from lkgrag.config.schema import (
    LM_ENCODER,
    NO_LLM,
    PUBLISHED,
    TERMS,
    TRACKERS,
    Config,
    LLMConfig,
    TrainingConfig,
    tracker_names,
)
from lkgrag.config.values import of_python
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.memory import parse_bytes

#: The number of index letters, A to Z and a to z.
LETTERS = 52
#: Options that take a custom class beside their words, as ``package.module:Class`` or by an entry point of
#: this group.
EXTENSIBLE = {"llm.readout": "lkgrag.readouts"}

#: Options that take the word ``none``.
WITH_NONE = ("llm.name", "text.encoder", "prompt.verbaliser")

#: The number of characters of an unknown key, or of a number, that a message shows.
LONGEST = 60


def check(config: Config) -> None:
    """Check words, ranges, and options that depend on one another.

    Raises:
        ConfigError: the message names the option and what it takes.
    """
    check_sections(config)
    for key in WITH_NONE:
        if value_of(config, key) == NONE:
            raise ConfigError(f"option '{key}': '{NONE}' is Python's word; write {key}=none")
    for key, f in config_fields():
        check_value(key, f, of_python(value_of(config, key), key, str(f.type)))
    _check_trackers(config.training.tracker)
    if config.prompt.history > config.paths.history:
        raise ConfigError(
            f"prompt.history={config.prompt.history} is more than paths.history="
            f"{config.paths.history}, but paths must start from all history that a prompt shows: raise "
            "paths.history, or lower prompt.history"
        )
    if config.llm.readout == "letters" and config.retrieval.k > LETTERS:
        raise ConfigError(
            f"retrieval.k={config.retrieval.k}: llm.readout=letters has only {LETTERS} letters for the "
            "candidates; lower retrieval.k, or set llm.readout=candidates"
        )
    if config.prompt.verbaliser in PUBLISHED and config.llm.readout == "candidates":
        raise ConfigError(
            f"prompt.verbaliser={config.prompt.verbaliser} needs the readout by index letters: "
            "set llm.readout=letters, or preset=reference for the whole published setting"
        )
    if config.prompt.verbaliser in PUBLISHED and config.prompt.items != "title":
        raise ConfigError(
            f"prompt.verbaliser={config.prompt.verbaliser} shows titles alone, as published: set "
            "prompt.items=title, or prompt.verbaliser=compact"
        )
    for name in config.training.fuse:
        if name not in TERMS:
            raise ConfigError(
                f"training.fuse: {name!r} is no term; choose from scorer and prior, or [] for neither"
            )
    if config.llm.adapter == "full" and config.llm.quantization == "nf4":
        raise ConfigError(
            "llm.adapter=full trains all weights, but weights in 4 bits (llm.quantization=nf4) cannot learn: set "
            "llm.adapter=lora, or llm.quantization=none"
        )
    if config.training.residual and not config.training.fuse:
        raise ConfigError(
            "training.residual=true needs terms to add to, but training.fuse=[]: set training.fuse=[scorer,prior], "
            "or training.residual=false"
        )
    if config.llm.name == NO_LLM and not config.training.fuse:
        raise ConfigError(
            "llm.name=none and training.fuse=[] leave nothing to rank by; set one of them otherwise"
        )
    if config.llm.name == NO_LLM and config.serving.lm == "always":
        raise ConfigError(
            "serving.lm=always needs a language model, but llm.name=none: set serving.lm=auto, or name a model"
        )
    if config.llm.name == NO_LLM and config.text.encoder == LM_ENCODER:
        raise ConfigError(
            "text.encoder=lm needs a language model, but llm.name=none: set text.encoder=minilm or none, or name "
            "a model"
        )
    if config.engine.memory is not None:
        parse_bytes(config.engine.memory, "engine.memory")
    if config.nodes.lrurec == "always" and not config.cache.enabled:
        raise ConfigError(
            "nodes.lrurec=always trains LRURec before stage one reads it from the cache: set cache.enabled=true, or "
            "nodes.lrurec=auto"
        )
    if not config.evaluation.ks:
        raise ConfigError("option 'evaluation.ks' needs cut-offs, as [5,10,20]")


def check_value(key: str, f: Field[Any], value: Any) -> None:
    """Check the words and the range of one option's value.

    Args:
        key: of the option.
        f: its field.
        value: of the type that the option declares.

    Raises:
        ConfigError: the message names the option and what it takes.
    """
    choices = f.metadata["choices"]
    if choices and value not in choices and not _may_be_custom(key, value):
        raise ConfigError(
            f"option '{key}': {value!r} is none of {', '.join(choices)}."
            f"{nearest(str(value), choices)}"
        )
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, int | float) and not isinstance(number, bool):
            _check_range(key, f, number)


def _may_be_custom(key: str, value: object) -> bool:
    """Whether a value may name a custom class. The room that imports the class checks that it does."""
    if key not in EXTENSIBLE or not isinstance(value, str):
        return False
    return ":" in value or value in entry_points(group=EXTENSIBLE[key]).names


def _check_trackers(option: str) -> None:
    """Refuse words that are no tracker, and ``none`` beside others.

    Raises:
        ConfigError: naming the word.
    """
    for word in tracker_names(option):
        if word not in TRACKERS:
            words = [*TRACKERS, "none"]
            beside = " beside others" if word == "none" else ""
            raise ConfigError(
                f"option 'training.tracker': {word[:LONGEST]!r}{beside} is none of {', '.join(words)}."
                f"{nearest(word, words) if not beside else ''}"
            )


def _check_range(key: str, f: Field[Any], number: float) -> None:
    low, high = f.metadata["low"], f.metadata["high"]
    # math.isfinite fails for integers beyond the largest float. NaN fails every comparison here.
    is_allowed = abs(number) < math.inf or number in (low, high)
    if is_allowed and (low is None or number >= low) and (high is None or number <= high):
        return
    takes = [words for words in ("" if is_allowed else "a finite number", range_of(f)) if words]
    raise ConfigError(f"option '{key}' must be {', '.join(takes)}, got {str(number)[:LONGEST]}")


def is_scorer_trained(words_paths: bool, llm: LLMConfig, training: TrainingConfig) -> bool:
    """Whether any loss reaches the scorer: through the fusion, its own loss, or the gates of the paths.

    Otherwise the scorer only chooses which paths are worded, as in the published LlamaRec-LKG-RAG.

    Args:
        words_paths: whether the prompts hold paths, as the class of ``prompt.verbaliser`` says.
        llm: its gate works on the words of paths alone.
        training: its fusion and losses.
    """
    if training.residual:
        return False
    is_gated = llm.gate != "off" and llm.name != NO_LLM and words_paths
    return "scorer" in training.fuse or training.aux_scorer > 0 or is_gated
