"""Reading of spaces from YAML files; whatever is no space gets one line that names the file and the option."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from lkgrag.config.checks import check_value
from lkgrag.config.documents import compose, pairs_of
from lkgrag.config.fields import config_fields, show
from lkgrag.config.loading import KINDS, SECTIONS, option_of, spaces
from lkgrag.config.values import inner_kind, of_node
from lkgrag.errors import ConfigError, nearest, short
from lkgrag.tuning.space import Parameter, Space, is_whole_number
from lkgrag.utils.files import user_path

#: Words of a range, and the one of a list of values.
RANGE, CHOICES = ("low", "high", "log", "step"), "choices"
#: What a line of a space looks like, for messages.
EXAMPLE = "as {low: 0.001, high: 0.01, log: true} or {choices: [1, 2, 4]}"
#: Sections and options that no trial changes, and why.
FIXED = {
    "seed": "a lucky seed is no better setting",
    "data": "it decides what is validated, so its values cannot be compared",
    "evaluation": "it decides how trials are judged, not what they learn",
    "kg.temporal": "it decides what may be known, so its values cannot be compared",
    "training.tracker": "it changes no result",
    "training.checkpoint_every": "it changes no result",
    "training.micro_batch": "it changes no result",
    "llm.gradient_checkpointing": "it changes no result",
    **dict.fromkeys(
        ("preset", "out", "threads", "overwrite", "serving", "cache"), "it changes no result"
    ),
}
#: Most values of a list.
MOST_CHOICES = 1000
#: Most steps of a range.
MOST_STEPS = 10**9
_FIELDS = dict(config_fields())


def read_space(name: str) -> Space:
    """Read a space by its name, or from a file.

    Args:
        name: of a shipped space, or a path that ends with ``.yaml`` or ``.yml``, or has a slash.

    Raises:
        ConfigError: there is no such space, or the file is no space; the message names the file and the key.
    """
    label = f"space={short(name)}"
    is_file = name.endswith((".yaml", ".yml")) or "/" in name
    if is_file:
        path = user_path(name, "space")
    else:
        path = Path(str(resources.files("lkgrag") / "conf" / "spaces" / f"{name}.yaml"))
        if name not in spaces():
            raise ConfigError(
                f"{label}: no such space.{nearest(name, spaces())} There are: {', '.join(spaces())}; "
                "a file of your own ends with .yaml"
            )
    found: dict[str, yaml.Node] = {}
    _walk(_root(path, label), "", label, found)
    if not found:
        raise ConfigError(f"{label}: it names no option; write one a line, {EXAMPLE}")
    for key in found:
        for end in range(len(key)):
            if key[end] == "." and key[:end] in found:
                raise ConfigError(
                    f"{label}: option '{short(key)}' is within '{short(key[:end])}', which stands there, too; leave one"
                )
    parameters = tuple(_parameter(key, node, label) for key, node in found.items())
    return Space(path.stem, parameters, is_shipped=not is_file)


def _root(path: Path, label: str) -> yaml.MappingNode:
    """The mapping in a file."""
    try:
        with open(path, "rb") as file:
            root = compose(file)
    except FileNotFoundError:
        raise ConfigError(
            f"{label}: no such file; give a YAML of options and their values"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{label}: cannot be read ({error.strerror}); give a YAML file"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{label}: not readable as YAML ({first})") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{label}: a space must be a mapping of options to values, {EXAMPLE}")
    return root


def _walk(
    node: yaml.MappingNode, prefix: str, label: str, found: dict[str, yaml.Node], depth: int = 0
) -> None:
    """Find the options below a node; sections may be nested or written with dots."""
    for word, value in pairs_of(node, label):
        key = f"{prefix}{word}"
        if key in SECTIONS:
            if not isinstance(value, yaml.MappingNode):
                raise ConfigError(f"{label}: '{key}' is a section: write its options below it")
            _walk(value, f"{key}.", label, found)
            continue
        kind = KINDS.get(key)
        is_nested = isinstance(value, yaml.MappingNode) and (
            (kind is not None and inner_kind(kind) is not None) or depth
        )
        if is_nested and not _is_parameter(value):
            # The keys of a mapping, as `scorer: {kwargs: {dim: {choices: [32, 64]}}}`.
            _walk(value, f"{key}.", label, found, depth + 1)
            continue
        _check_key(key, label)
        if key in found:
            raise ConfigError(f"{label}: option '{key}' stands there twice; leave one")
        found[key] = value


def _is_parameter(node: yaml.Node) -> bool:
    """Whether a mapping has a word of a range or of a list."""
    names = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
    return any(name in (*RANGE, CHOICES) for name in names)


def _check_key(key: str, label: str) -> None:
    """Refuse what is no option, and options that no trial may change."""
    try:
        option, _ = option_of(key, "")
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error
    section = option.partition(".")[0]
    for fixed in (option, section):
        if fixed in FIXED:
            raise ConfigError(
                f"{label}: option '{key}' cannot be tuned: {FIXED[fixed]}; leave it out"
            )


def _parameter(key: str, node: yaml.Node, label: str) -> Parameter:
    """An option's values from its node."""
    where = f"{label}: option '{short(key)}'"
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}: give its values {EXAMPLE}")
    try:
        words = dict(pairs_of(node, where))
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from error
    for word in words:
        if word not in (*RANGE, CHOICES):
            raise ConfigError(
                f"{where}: unknown word '{short(word)}'.{nearest(word, (*RANGE, CHOICES))} "
                f"Give its values {EXAMPLE}"
            )
    if CHOICES in words:
        if len(words) > 1:
            other = next(word for word in words if word != CHOICES)
            raise ConfigError(f"{where}: choices and {other} exclude one another; leave one out")
        return _list(key, words[CHOICES], where, label)
    return _range(key, words, where, label)


def _kind_of(key: str) -> str:
    """The type of a key's values, as the schema writes it."""
    option, words = option_of(key, "")
    kind = KINDS[option]
    for _ in words:
        kind = inner_kind(kind) or "str"
    return kind


def _value(key: str, node: yaml.Node, kind: str, label: str) -> Any:
    """A value from its node, checked as an option's is."""
    try:
        value = of_node(node, key, kind)
        if key in _FIELDS and value is not None:
            check_value(key, _FIELDS[key], value)
    except ConfigError as error:
        raise ConfigError(f"{label}: {error}") from error
    return value


def _list(key: str, node: yaml.Node, where: str, label: str) -> Parameter:
    """A parameter with a list of values."""
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise ConfigError(f"{where}: choices takes a list with a value or more, as [1, 2, 4]")
    if len(node.value) > MOST_CHOICES:
        raise ConfigError(f"{where}: more than {MOST_CHOICES:,} choices; use low and high")
    kind = _kind_of(key)
    parameter = Parameter(key, choices=tuple(_value(key, v, kind, label) for v in node.value))
    seen: set[tuple[type, Any]] = set()
    for stored in parameter.labels:
        if isinstance(stored, float) and not math.isfinite(stored):
            raise ConfigError(f"{where}: a choice must be a finite number, got {stored}")
        if (type(stored), stored) in seen:
            raise ConfigError(f"{where}: the choice {short(show(stored))} stands there twice")
        seen.add((type(stored), stored))
    return parameter


def _range(key: str, words: dict[str, yaml.Node], where: str, label: str) -> Parameter:
    """A parameter with a range."""
    kind = _kind_of(key).removesuffix(" | None")
    if kind not in ("int", "float", "Any"):
        raise ConfigError(f"{where} takes no numbers, so it has no range; give choices: [...]")
    for word in ("low", "high"):
        if word not in words:
            raise ConfigError(f"{where}: {word} is missing; give its values {EXAMPLE}")
    low, high = (_number(key, words[word], kind, where, label, word) for word in ("low", "high"))
    if isinstance(low, float) or isinstance(high, float):
        low, high = float(low), float(high)
    if low > high:
        raise ConfigError(f"{where}: low={low:g} is more than high={high:g}; exchange them")
    log = _switch(words["log"], where) if "log" in words else False
    step = None
    if "step" in words:
        step = _number(key, words["step"], "Any" if kind == "Any" else kind, where, label, "step")
        if not float(step).is_integer():
            # Whole ends with values between them.
            low, high = float(low), float(high)
        step = int(step) if isinstance(low, int) else float(step)
    if log and step is not None:
        raise ConfigError(f"{where}: log and step exclude one another; leave one out")
    if log and low <= 0:
        raise ConfigError(f"{where}: log needs low above 0, got low={low:g}")
    if step is not None and step <= 0:
        raise ConfigError(f"{where}: step must be above 0, got {step:g}")
    if step is not None and (high - low) / step > MOST_STEPS:
        raise ConfigError(
            f"{where}: steps of {step:g} make more than {MOST_STEPS:,} values; leave step out"
        )
    if step is not None and not is_whole_number((high - low) / step):
        raise ConfigError(
            f"{where}: steps of {step:g} do not lead from low={low:g} to high={high:g}"
        )
    return Parameter(key, low, high, log, step)


def _number(key: str, node: yaml.Node, kind: str, where: str, label: str, word: str) -> float:
    """A finite number of a range; a step need not lie in the option's own range."""
    value = _value(key if word != "step" else f"{key}:step", node, kind, label)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {word} must be a number, got {short(show(value))!r}")
    try:
        is_finite = math.isfinite(value)
    except OverflowError:
        is_finite = False
    if not is_finite or (abs(value) > 2**53 and isinstance(value, int)):
        raise ConfigError(f"{where}: {word} must be a finite number below 2**53 in size")
    return value


def _switch(node: yaml.Node, where: str) -> bool:
    """The value of ``log``."""
    try:
        return bool(of_node(node, "log", "bool"))
    except ConfigError as error:
        raise ConfigError(f"{where}: log is true or false") from error
