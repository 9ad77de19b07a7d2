"""The options of a study, beside those of a run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.cli.arguments import DIGITS, whole_number
from lkgrag.errors import ConfigError, nearest, short
from lkgrag.evaluation.metrics import HEADLINE, resolve_metric
from lkgrag.tuning.space_file import read_space
from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lkgrag.config import Config
    from lkgrag.tuning.space import Space

#: Words of ``sampler``, ``pruner`` and ``confirm``.
SAMPLERS, PRUNERS, CONFIRM = (
    ("tpe", "random"),
    ("quartile", "median", "none"),
    ("auto", "true", "false"),
)
TRIALS = 50
#: Gigabytes of cached stages that losing trials may keep.
DISK = 20.0
#: Longest name of a study.
LONGEST_NAME = 120


@dataclass(frozen=True)
class TuneOptions:
    """How options are tuned.

    Attributes:
        space: what is tuned.
        out: folder of the study's files.
        study: its name in the storage.
        storage: URL of the storage.
        trials: number of trials, of all processes together.
        timeout: seconds after which this process begins no further trial; infinity for none.
        metric: that is maximised on validation.
        sampler: proposes the trials.
        pruner: ends trials early that are in the worst quarter at some point, or in the worse half.
        confirm: whether half of the users only confirm the gain: ``auto``, ``true`` or ``false``.
        disk: gigabytes of cached stages that losing trials may keep.
        seed: of the proposals.
    """

    space: Space
    out: Path
    study: str
    storage: str
    trials: int = TRIALS
    timeout: float = math.inf
    metric: str = HEADLINE
    sampler: str = "tpe"
    pruner: str = "quartile"
    confirm: str = "auto"
    disk: float = DISK
    seed: int = 0

    @property
    def database(self) -> Path | None:
        """The file of an SQLite storage; None for any other."""
        found = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", self.storage)
        return Path(found[1]) if found else None

    @property
    def shown_storage(self) -> str:
        """The storage without the password."""
        return without_password(self.storage)


def without_password(text: str) -> str:
    """The URL of a storage, or a command with one, without the password."""
    text = re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", text)
    return re.sub(r"(?<=[?&])(\w*(?:password|token|key))=[^&\s]+", r"\1=***", text)


def read_options(pairs: Mapping[str, str], config: Config) -> TuneOptions:
    """Read the options of a study.

    Args:
        pairs: as typed, without the configuration's keys.
        config: of the run, which gives ``out``, the seed and the default name.

    Raises:
        ConfigError: naming the option and what it takes.
    """
    given = dict(pairs)
    space = read_space(given.get("space", "default")).for_scorer(config)
    study = given.get("study", f"{Path(config.data.name).name}-{space.name}").strip()
    if not study or not study.isprintable() or len(study) > LONGEST_NAME:
        raise ConfigError(
            f"option 'study': {short(study)!r} must be a name of 1 to {LONGEST_NAME} printable characters"
        )
    safe = "".join(c if c.isalnum() or c in "-._" else "-" for c in study)
    out = Path(config.out) if config.out else Path("outputs") / f"tune-{safe}"
    return TuneOptions(
        space=space,
        out=out,
        study=study,
        storage=_storage(given.get("storage"), out),
        trials=whole_number(given, "trials", TRIALS),
        timeout=_amount(given, "timeout", math.inf, "seconds"),
        metric=_metric(given.get("metric", HEADLINE)),
        sampler=_word(given, "sampler", SAMPLERS),
        pruner=_word(given, "pruner", PRUNERS),
        confirm=_word(given, "confirm", CONFIRM),
        disk=_amount(given, "disk", DISK, "gigabytes"),
        seed=config.seed,
    )


def _storage(text: str | None, out: Path) -> str:
    """The URL of the storage: a file of SQLite where it is a path."""
    if text is None:
        return _file(out / "study.db", "out", str(out))
    if not text.strip():
        raise ConfigError(
            "option 'storage': there is no path; name a file or a URL, or leave it out"
        )
    if "://" not in text:
        return _file(user_path(text, "storage"), "storage", text)
    if re.fullmatch(r"sqlite(\+\w+)?:/*(file:)?(:memory:)?(\?.*)?", text) or "mode=memory" in text:
        raise ConfigError(
            f"option 'storage': {short(text)!r} is in memory, so the study would be lost; name a file"
        )
    return text


def _file(path: Path, option: str, text: str) -> str:
    """The URL of a file of SQLite."""
    if "?" in str(path):
        # In a URL, options begin there.
        raise ConfigError(
            f"option '{option}': {short(text)!r} has a '?', which no study's file may have; choose another name"
        )
    return f"sqlite:///{path}"


def _metric(key: str) -> str:
    try:
        resolve_metric(key)
    except ValueError as error:
        raise ConfigError(f"option 'metric': {error}") from error
    return key


def _word(pairs: Mapping[str, str], key: str, words: tuple[str, ...]) -> str:
    word = pairs.get(key, words[0])
    if word not in words:
        raise ConfigError(
            f"option '{key}': {short(word)!r} is none of {', '.join(words)}.{nearest(word, words)}"
        )
    return word


def _amount(pairs: Mapping[str, str], key: str, default: float, unit: str) -> float:
    """A finite number of at least 0."""
    if key not in pairs:
        return default
    text = pairs[key].strip()
    number = float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+", text) and len(text) <= DIGITS else -1.0
    if number < 0:
        raise ConfigError(f"option '{key}': {short(text)!r} is no number of {unit}, as 3600")
    return number
