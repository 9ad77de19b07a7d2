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
    if prefix.startswith("-"):
        offers = _flags()
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
        given = {word.partition("=")[0] for word in found[1:]}
        offers = {f"{k}=": meaning for k, meaning in _keys(command).items() if k not in given}
    return {word: _line(text) for word, text in offers.items() if word.startswith(prefix)}


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
        return files(value)
    head = ""
    if is_list:
        head = value[: max(value.rfind(","), value.rfind("[")) + 1]
    used = re.split(r"[\[,]", head)
    last = value[len(head) :]
    return [head + word for word in words if word.startswith(last) and word not in used]


def _kind(command: Command, key: str) -> tuple[tuple[str, ...], bool, bool]:
    """The words of an option, whether it takes files, and whether it takes several words."""
    if key in command.options:
        default, meaning = command.options[key]
        shown = re.search(rf"\[({_WORDS.pattern})\]", meaning)
        text = shown[1] if shown else default
        if text in _SWITCH:
            return _SWITCH, False, False
        words = tuple(text.split(" | ")) if _WORDS.fullmatch(text) else ()
        return words, any(word in default for word in _FILES), False
    if not command.configurable:
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
        if entry.name.startswith(name) and (name or not entry.name.startswith("."))
    ]


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


def answer() -> None:
    """Tell the shell that asks by argcomplete's variables what can follow, and end the process."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    _Finder()(parser)
