"""The console command ``lkgrag``: it finds the command that is named, and hands the other words to it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path

from lkgrag import __version__
from lkgrag.cli.command import ACCEPTED, FLAGS, guard
from lkgrag.cli.commands import COMMANDS, COMPLETION, PROGRAMS, SHELLS, load_command
from lkgrag.errors import ConfigError, nearest, short

#: What argcomplete sets while a shell completes.
COMPLETING = "_ARGCOMPLETE"


def overview(program: str) -> str:
    """Write the page of ``lkgrag --help``: the commands, each with the first sentence of its summary."""
    width = max(60, min(shutil.get_terminal_size((80, 24)).columns, 100))
    meanings = {name: load_command(name).COMMAND.summary for name in COMMANDS}
    lines = [f"usage: {program} COMMAND [key=value ...] [flags]", "", "commands:"]
    for name, meaning in {**meanings, "completion": COMPLETION}.items():
        first = f"{meaning.split('. ')[0].rstrip('.')}."
        indent = " " * 14
        lines += textwrap.wrap(
            first, width, initial_indent=f"  {name:<12}", subsequent_indent=indent
        )
    lines += ["", "flags:"] + [f"  {flag:<14}{meaning}" for flag, meaning in FLAGS.items()]
    lines += ["", f"Options of a command: {program} COMMAND --help"]
    return "\n".join(lines)


def main() -> int:
    """Run the command that is named, and return its exit status."""
    if COMPLETING in os.environ:
        # Only here: no command needs argcomplete.
        from lkgrag.cli.completion import answer

        answer()
    program = PROGRAMS[Path(sys.argv[0]).name == "__main__.py"]
    # Flags may stand before the command.
    words = sys.argv[1:]
    place = next((n for n, word in enumerate(words) if word not in ACCEPTED), len(words))
    name = words[place] if place < len(words) else None
    rest = words[:place] + words[place + 1 :]
    if name is None or name not in COMMANDS:
        return guard(lambda: _answer(program, name, rest))
    sys.argv = [f"{program} {name}", *rest]
    try:
        module = load_command(name)
    except KeyboardInterrupt:
        return 130
    status: int = module.main()
    return status


def _answer(program: str, name: str | None, rest: list[str]) -> None:
    """Answer what no command of :data:`COMMANDS` does.

    Raises:
        ConfigError: there is no such command, or no such shell.
    """
    if name in (None, "completion") and "--version" in rest and not {"-h", "--help"} & set(rest):
        print(f"lkgrag {__version__}", flush=True)
    elif name is None:
        print(overview(program), flush=True)
    elif name == "completion":
        _complete(program, rest)
    elif "=" in name:
        raise ConfigError(
            f"the command is missing before {short(name)!r}, as {program} train {short(name)}; "
            f"see {program} --help"
        )
    else:
        hint = nearest(name.removeprefix("lkgrag."), [*COMMANDS, "completion"])
        raise ConfigError(f"unknown command {short(name)!r}.{hint} See {program} --help")


def _complete(program: str, rest: list[str]) -> None:
    """Print the completion of a shell.

    Raises:
        ConfigError: the shell is missing or unknown.
    """
    if {"-h", "--help"} & set(rest):
        print(f"usage: {program} completion {'|'.join(SHELLS)}\n\n{COMPLETION}", flush=True)
        return
    shells = [word for word in rest if word not in ACCEPTED]
    if len(shells) != 1 or shells[0] not in SHELLS:
        given = f"{short(' '.join(shells))!r} is none of" if shells else "name one of"
        raise ConfigError(f"completion: {given} {', '.join(SHELLS)}, as {program} completion bash")
    # Only here: as above.
    from argcomplete import shellcode

    print(shellcode(["lkgrag"], shell=shells[0]), flush=True)
