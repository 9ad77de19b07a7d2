"""Errors that a user can act on.

Errors that input, options, files or the machine cause derive from :class:`LkgragError`. Each has one line
that names the file, line, field or option and says what to do. The command line prints that line and exits
with status 2; ``--debug`` also shows the traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

#: Characters that would break a line or control the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: The number of characters of a user's text that a message shows.
LONGEST = 120


class LkgragError(Exception):
    """Base class of all errors that the user can act on.

    Args:
        message: becomes one line. Line breaks, as in messages of libraries, become spaces. Other control
            characters and marks of the writing direction, as in lines of files, become escapes.

    Attributes:
        is_said: whether another process of this machine prints the line, so that this one does not.
    """

    is_said = False

    def __init__(self, message: str = "") -> None:
        line = re.sub(r"\s*\n\s*", " ", message.strip())
        super().__init__(_CONTROL.sub(lambda match: ascii(match[0])[1:-1], line))


class ConfigError(LkgragError):
    """An option is unknown, has a wrong type, or contradicts another one."""


class DataError(LkgragError):
    """An input file or table is missing, broken or does not fit."""


class AssetError(LkgragError):
    """A data set or a model could not be fetched, or differs from what was expected."""


class ModelError(LkgragError):
    """A language model, tokenizer or saved ranker cannot be used in this way."""


class RunError(LkgragError):
    """A run's folder is locked, unfinished, of another version, or not a run at all."""


def short(text: str) -> str:
    """Cut a very long text for a message."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def nearest(word: str, known: Iterable[str], n: int = 3) -> str:
    """Return ``" Did you mean 'a' or 'b'?"`` for the known words nearest to ``word``, or ``""``."""
    words = list(known)
    close = difflib.get_close_matches(word[:LONGEST], words, n=n, cutoff=0.6)
    # A table that reads ids as numbers loses the zeros before them: '7' for '0007'.
    number = word.lstrip("0")
    padded = [w for w in words if w != word and w.lstrip("0") == number] if word.isdecimal() else []
    close = list(dict.fromkeys([*padded, *close]))[:n]
    if not close:
        return ""
    quoted = [f"'{c}'" for c in close]
    return f" Did you mean {' or '.join(quoted)}?"
