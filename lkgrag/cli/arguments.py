"""Reading and checking of ``key=value`` options that are not part of the configuration."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    from lkgrag.cli.command import Command

#: The largest number of digits of a whole number.
DIGITS = 18
#: Longer texts are no paths; the system would refuse to look.
LONGEST_PATH = 255
#: Suffixes of files that hold ids: lines of text, and tables.
ID_FILES = (
    ".txt",
    *(".csv", ".tsv", ".tab", ".psv", ".jsonl", ".ndjson", ".json"),
    *(".parquet", ".pq", ".arrow", ".feather", ".ipc"),
)
#: The number of characters of a wrong value that a message shows.
SHOWN = 60


def whole_number(pairs: dict[str, str], key: str, default: int) -> int:
    """Read the value of an option that takes a whole number of at least 1.

    Raises:
        ConfigError: the value is no such number; the message names the option.
    """
    text = pairs.get(key, str(default))
    if not text.isdecimal() or len(text) > DIGITS or int(text) < 1:
        raise ConfigError(
            f"option '{key}': {text[:SHOWN]!r} is no whole number of at least 1 with at most "
            f"{DIGITS} digits"
        )
    return int(text)


def switch(pairs: dict[str, str], key: str, default: bool) -> bool:
    """Read the value of an option that is true or false.

    Raises:
        ConfigError: the value is neither; the message names the option.
    """
    text = pairs.get(key, str(default)).lower()
    if text not in ("true", "false"):
        raise ConfigError(f"option '{key}': {text!r} is neither true nor false")
    return text == "true"


def parse_list(pairs: dict[str, str], key: str) -> list[str]:
    """Read the value of an option that takes ``[a,b]`` or ``a,b``; double quotes protect a comma.

    Raises:
        ConfigError: the value is not such a list; the message names the option.
    """
    text = pairs[key]
    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    if not inner.strip():
        return []
    if inner.count('"') % 2:
        raise ConfigError(f"option '{key}': a quote does not close in {text[:SHOWN]!r}")
    # The csv module has one limit for all readers; a single element may be as long as the value.
    csv.field_size_limit(max(len(inner), csv.field_size_limit()))
    try:
        return [item.strip() for item in next(csv.reader([inner], skipinitialspace=True))]
    except csv.Error as error:
        raise ConfigError(
            f"option '{key}': {text[:SHOWN]!r} is not readable as a list ({error})"
        ) from error


def parse_mapping(pairs: dict[str, str], key: str) -> dict[str, list[str]]:
    """Read the value of an option that takes ``{name: value, other: [a, b]}``; each text stays as it is typed.

    Raises:
        ConfigError: the value is not such a mapping; the message names the option.
    """
    # Only here: no other option needs it.
    import yaml

    text = pairs[key]
    advice = (
        f"as {key}={{genre: Drama}} or {key}={{genre: [Drama, Comedy]}}, in quotes for the shell"
    )
    try:
        # This loader makes everything text: 007, no and 1e3 are values of attributes like any other.
        value = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(
            f"option '{key}': {text[:SHOWN]!r} is not readable as a mapping ({first}); {advice}"
        ) from error
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"option '{key}': {text[:SHOWN]!r} is no mapping, {advice}")
    out: dict[str, list[str]] = {}
    for name, values in value.items():
        words = values if isinstance(values, list) else [values]
        if not words or not all(isinstance(w, str) and w for w in (name, *words)):
            raise ConfigError(
                f"option '{key}': {str(name)[:SHOWN]!r} needs a value or a list of values, {advice}"
            )
        out[name] = words
    return out


def parse_list_or_file(pairs: dict[str, str], key: str) -> list[str] | Path:
    """Read the value of an option that takes ``[a,b]``, ``a,b`` or the path of a file.

    What is in brackets is a list. Otherwise it is a file if there is one of this name, or if it has a slash, or ends as
    such files do, see :data:`ID_FILES`, and has no comma.

    Raises:
        ConfigError: as :func:`parse_list`.
    """
    text = pairs[key].strip()
    if not text.startswith("["):
        path = Path(text).expanduser()
        looks_like_path = "/" in text or ("," not in text and _ends_as_file(text))
        if looks_like_path or (len(text) < LONGEST_PATH and path.is_file()):
            return path
    return parse_list(pairs, key)


def _ends_as_file(text: str) -> bool:
    """Whether a text ends as the name of a file with ids does."""
    return text.lower().removesuffix(".gz").removesuffix(".zip").endswith(ID_FILES)


def parse_users(pairs: dict[str, str]) -> list[str] | Path | None:
    """Read the option ``users``: a list of ids, the path of a file that holds some, or ``all``.

    It is a path if it ends as such files do, see :data:`ID_FILES`, also gzipped. Brackets make it a list.

    Returns:
        None for all.

    Raises:
        ConfigError: as :func:`parse_list`, or there is no user.
    """
    text = pairs["users"].strip()
    if text == "all":
        return None
    if _ends_as_file(text) and not text.startswith("["):
        path = Path(text).expanduser()
        # Ids may end so, too.
        if "," not in text or (len(text) < LONGEST_PATH and path.is_file()):
            return path
    users = parse_list(pairs, "users")
    if not users:
        raise ConfigError("option 'users': there is no user; give users=<ids>, or users=all")
    return users


def check_options(pairs: dict[str, str], command: Command) -> None:
    """Refuse options that the command does not have, require ``run``, and put the home folder for ``~`` in paths.

    Raises:
        ConfigError: naming the option that is unknown or missing.
    """
    for key in pairs:
        if key not in command.options:
            raise ConfigError(f"unknown option '{key}'.{nearest(key, command.options)} See --help")
    if not pairs.get("out", "-").strip():
        raise ConfigError("option 'out': there is no path; name one, or leave it out")
    if not pairs.get("run", "").strip():
        raise ConfigError("option 'run' is missing: run=<folder of a finished run>")
    for key in ("run", "out"):
        if pairs.get(key, "").startswith("~"):
            # A path in the end loses its last slash, which says that it is a folder.
            slash = "/" if pairs[key].endswith("/") else ""
            pairs[key] = f"{user_path(pairs[key], key)}{slash}"
