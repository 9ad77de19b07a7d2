"""What the entry points share: options, ``--help``, errors in one line, exit status 2.

Nothing heavy is imported here: ``--help`` and an unknown key must answer at once.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from lkgrag import __version__
from lkgrag.config.fields import config_fields, default_of, range_of, show
from lkgrag.errors import ConfigError, LkgragError
from lkgrag.utils.failures import explain

FLAGS = {
    "-h, --help": "show this page",
    "--version": "show the version",
    "--quiet": "only results and errors",
    "--verbose": "log lines on stderr as well",
    "--debug": "show the traceback of an error",
}


@dataclass(frozen=True)
class Command:
    """One entry point: its name, what it does, and options beyond the configuration.

    Attributes:
        name: module name, as ``lkgrag.train``.
        summary: one sentence.
        options: name -> (default in words, meaning) of options that are no part of the configuration.
        examples: command lines.
        configurable: whether the configuration's keys are options of this command.
    """

    name: str
    summary: str
    options: dict[str, tuple[str, str]]
    examples: list[str]
    configurable: bool = True


def help_text(command: Command) -> str:
    """The page of ``--help``."""
    width = max(60, min(shutil.get_terminal_size((80, 24)).columns, 100))
    lines = [f"usage: python -m {command.name} [key=value ...] [flags]", ""]
    lines += [*textwrap.wrap(command.summary, width), ""]

    def entry(head: str, text: str) -> None:
        lines.append(f"  {head}")
        lines.extend(textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 6))

    for key, (default, meaning) in command.options.items():
        entry(f"{key}={default}", meaning)
    section = None
    if command.configurable:
        for key, f in config_fields():
            room = key.split(".")[0] if "." in key else "run"
            if room != section:
                section = room
                lines += ["", f"{section}:"]
            text = f.metadata["help"]
            if f.metadata["choices"]:
                text += f" [{' | '.join(f.metadata['choices'])}]"
            if range_of(f):
                text += f" [{range_of(f)}]"
            entry(f"{key}={show(default_of(f))}", text)
        entry("config=FILE", "a YAML with any of these keys, as a run's config.yaml")
    lines += ["", "flags:"]
    lines += [f"  {flag:<14}{meaning}" for flag, meaning in FLAGS.items()]
    lines += ["", "examples:"] + [f"  {example}" for example in command.examples]
    return "\n".join(lines)


def parse(argv: list[str]) -> tuple[dict[str, str], set[str]]:
    """Split a command line into ``key=value`` pairs and flags.

    Raises:
        ConfigError: an argument is neither.
    """
    known = {"-h", "--help", "--version", "--quiet", "--verbose", "--debug"}
    pairs: dict[str, str] = {}
    flags: set[str] = set()
    for arg in argv:
        if arg in known:
            flags.add("--help" if arg == "-h" else arg)
        elif "=" in arg.lstrip("-") and not arg.startswith("="):
            key, value = arg.lstrip("-").split("=", 1)
            if key in pairs and pairs[key] != value:
                raise ConfigError(f"option '{key}' is given twice: {pairs[key]!r} and {value!r}")
            pairs[key] = value
        else:
            raise ConfigError(f"argument {arg!r} is not of the form key=value; see --help")
    return pairs, flags


def prepare_environment() -> None:
    """Set what libraries read from the environment as they are imported; nothing of the user's.

    Threads that wait by spinning take the cores from those they wait for as soon as another program
    is busy: epochs of 3 seconds were seen to take 2 minutes. So they are told to sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)


def run(command: Command, body: Callable[[dict[str, str], set[str]], None]) -> int:
    """Run an entry point; return its exit status.

    0 is success, 2 an error that the user can act on (one line on stderr), 130 an interruption.
    """
    debug = "--debug" in sys.argv[1:]
    try:
        pairs, flags = parse(sys.argv[1:])
        if "--help" in flags:
            print(help_text(command))
            return 0
        if "--version" in flags:
            print(f"lkgrag {__version__}")
            return 0
        prepare_environment()
        from lkgrag.utils.console import set_verbosity

        # A log that cannot be written (a full disk) must not bury the error under its own.
        logging.raiseExceptions = debug
        set_verbosity(flags)
        body(pairs, flags)
        return 0
    except LkgragError as error:
        return fail(error, debug)
    except KeyboardInterrupt:
        from lkgrag.utils.console import err_console

        err_console.print(
            "\ninterrupted; finished stages and the last checkpoint are kept: "
            "the same command goes on from there"
        )
        return 130
    except BrokenPipeError:
        # The reader of our output went away (as `| head` does): nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        known = explain(error)
        if known is None:
            raise
        return fail(known, debug)


def fail(error: LkgragError, debug: bool) -> int:
    """Say in one line what went wrong; the traceback only where it was asked for."""
    from rich.markup import escape

    from lkgrag.utils.console import err_console

    if debug:
        traceback.print_exc()
    err_console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    return 2
