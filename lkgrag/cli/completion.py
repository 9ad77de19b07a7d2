"""What a shell offers after ``lkgrag``: commands, options and their words, and names of files after ``=``.

argcomplete talks to the shells. It reads arguments of argparse, which ours are not: so the words here come from
the tables of ``--help``.
"""

from __future__ import annotations

import argparse
import os
import re
from typing import Any

from argcomplete import CompletionFinder

from lkgrag.cli.command import FLAGS, Command
from lkgrag.cli.commands import COMMANDS, COMPLETION, SHELLS, load_command
from lkgrag.config.fields import config_fields, default_of, show

#: Words of an option, as ``--help`` shows them: ``text | json | html``.
_WORDS = re.compile(r"\w+(?: \| \w+)+")
#: What stands for a file in the defaults of ``--help``.
_FILES = ("FILE", "FOLDER")
_SWITCH = ("true", "false")


def complete(words: list[str], prefix: str) -> dict[str, str]:
    """What can follow.

    Args:
        words: the words before the cursor's, without ``lkgrag``.
        prefix: the part of the cursor's word that is left of it.

    Returns:
        Whole words that begin with ``prefix``, each with its meaning.
    """
    found = [word for word in words if not word.startswith("-")]
    dashes, name = _split_dashes(prefix)
    if dashes and not name:
        offers = _flags()
    elif dashes:
        # Options may have dashes, too.
        under = complete(words, name) if found and found[0] in COMMANDS else {}
        offers = _flags() | {f"{dashes}{word}": meaning for word, meaning in under.items()}
    elif not found:
        offers = {name: load_command(name).COMMAND.summary for name in COMMANDS}
        offers["completion"] = COMPLETION
    elif found[0] == "completion":
        offers = dict.fromkeys(SHELLS if len(found) == 1 else (), "")
    elif found[0] not in COMMANDS:
        offers = {}
    else:
        command: Command = load_command(found[0]).COMMAND
        key, equals, value = prefix.partition("=")
        if equals:
            return {f"{key}={end}": "" for end in _values(command, key, value)}
        given = {word.lstrip("-").partition("=")[0] for word in words}
        offers = {f"{k}=": meaning for k, meaning in _keys(command).items() if k not in given}
    return {word: _line(text) for word, text in offers.items() if word.startswith(prefix)}


def _split_dashes(prefix: str) -> tuple[str, str]:
    """The dashes that a word begins with, and the rest."""
    name = prefix.lstrip("-")
    return prefix[: len(prefix) - len(name)], name


def _flags() -> dict[str, str]:
    return {name: meaning for names, meaning in FLAGS.items() for name in names.split(", ")}


def _keys(command: Command) -> dict[str, str]:
    """The options of a command with their meanings."""
    keys = {key: meaning for key, (_, meaning) in command.options.items()}
    if command.configurable:
        keys |= {key: f.metadata["help"] for key, f in config_fields()}
        keys["config"] = "a YAML with any of these keys"
    return keys


def _values(command: Command, key: str, value: str) -> list[str]:
    """The values of an option that begin with the text after ``=``; in a list, the last element is completed."""
    words, is_file, is_list = _kind(command, key)
    if is_file:
        return [*(word for word in words if word.startswith(value)), *files(value)]
    head = ""
    if is_list:
        head = value[: max(value.rfind(","), value.rfind("[")) + 1]
    used = re.split(r"[\[,]", head)
    last = value[len(head) :]
    return [head + word for word in words if word.startswith(last) and word not in used]


def _kind(command: Command, key: str) -> tuple[tuple[str, ...], bool, bool]:
    """The words of an option, whether it takes files, and whether it takes several words."""
    if key in command.options:
        if command.name == "lkgrag.tune" and key == "space":
            # Only here: the other answers do not wait for PyYAML.
            from lkgrag.config.loading import spaces

            return tuple(spaces()), True, False
        default, meaning = command.options[key]
        shown = re.search(rf"\[({_WORDS.pattern})\]", meaning)
        text = shown[1] if shown else default
        if text in _SWITCH:
            return _SWITCH, False, False
        # Words in capitals stand for others: FILE, ID,ID,...
        words = tuple(w for w in text.split(" | ") if w.islower()) if " | " in text else ()
        is_file = any(word in default for word in _FILES)
        if words or is_file:
            return words, is_file, False
    elif not command.configurable:
        return (), False, False
    if key == "config":
        return (), True, False
    if key == "preset":
        # Only here: the other answers do not wait for PyYAML.
        from lkgrag.config.loading import presets

        return tuple(presets()), False, True
    for name, f in config_fields():
        if name == key:
            default = default_of(f)
            words = _SWITCH if isinstance(default, bool) else f.metadata["choices"]
            return tuple(map(show, words)), f.metadata["path"], isinstance(default, list)
    return (), False, False


def files(text: str) -> list[str]:
    """Paths that begin with a text; folders end with a slash. Hidden ones need a dot."""
    folder, name = os.path.split(text)
    try:
        entries = sorted(os.scandir(os.path.expanduser(folder) or "."), key=lambda e: e.name)
    except OSError:
        return []
    return [
        os.path.join(folder, entry.name) + "/" * entry.is_dir()
        for entry in entries
        if entry.name.startswith(name)
        and (name or not entry.name.startswith("."))
        and _is_text(entry.name)
    ]


def _is_text(name: str) -> bool:
    """Whether a name can be told to a shell: some file systems have names that are no UTF-8."""
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _line(text: str) -> str:
    """The beginning of a meaning, since shells show it beside the word."""
    first = " ".join(text.split())
    return first if len(first) <= 60 else f"{first[:59]}…"


class _Finder(CompletionFinder):
    """Offers the words of :func:`complete` instead of argparse's."""

    def collect_completions(
        self, active_parsers: list[argparse.ArgumentParser], parsed_args: Any, cword_prefix: str
    ) -> list[str]:
        """The words, and their meanings for shells that show them."""
        offers = complete(parsed_args.words, cword_prefix)
        self._display_completions = dict(offers)
        return list(offers)

    def quote_completions(
        self, completions: list[str], cword_prequote: str, last_wordbreak_pos: int | None
    ) -> list[str]:
        """Each as the shell is to insert it. Within quotes, bash replaces what stands behind the open one."""
        if cword_prequote and os.environ.get("_ARGCOMPLETE_SHELL") == "bash":
            start = before_quote(os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])])
            completions = [completion[start:] for completion in completions]
        quoted: list[str] = super().quote_completions(
            completions, cword_prequote, last_wordbreak_pos
        )
        return quoted


def before_quote(line: str) -> int:
    """How many characters of the last word of a line stand before the quote that is open in it.

    Args:
        line: up to the cursor, as it was typed.
    """
    quote, length, before, is_escaped = "", 0, 0, False
    for char in line:
        if is_escaped:
            length, is_escaped = length + 1, False
        elif char == "\\" and quote != "'":
            is_escaped = True
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote, before = char, length
        elif not quote and char.isspace():
            length = 0
        else:
            length += 1
    return before


def answer() -> None:
    """Tell the shell that asks by argcomplete's variables what can follow, and end the process."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    _Finder()(parser)
