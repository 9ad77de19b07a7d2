"""What the commands share: their options, ``--help``, errors in one line, and exit status 2.

Nothing heavy is imported here, so that ``--help`` and an unknown key answer at once.
"""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from lkgrag import __version__
from lkgrag.cli.commands import called
from lkgrag.cli.interruption import STATUS, interruptible
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
#: The flags as they are typed.
ACCEPTED = frozenset(name for names in FLAGS for name in names.split(", "))
_MODULE = re.compile(r"python -m lkgrag\.(\w+)")


@dataclass(frozen=True)
class Command:
    """One command: its name, what it does, and its options beyond the configuration.

    Attributes:
        name: module name, as ``lkgrag.train``.
        summary: what it does, in one to three sentences.
        options: name -> (default in words, meaning) of options that are not part of the configuration.
        examples: command lines.
        configurable: whether the configuration's keys are options of this command.
        after_stop: what to do after Ctrl-C, the end of a line.
    """

    name: str
    summary: str
    options: dict[str, tuple[str, str]]
    examples: list[str]
    configurable: bool = True
    after_stop: str = "the same command starts again"


def help_text(command: Command) -> str:
    """Write the page of ``--help``."""
    width = max(60, min(shutil.get_terminal_size((80, 24)).columns, 100))
    program = called(command.name)
    lines = [f"usage: {program} [key=value ...] [flags]", ""]
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
    # Examples name other commands, too, as `lkgrag recommend` after `lkgrag export`.
    head = program.rpartition(" ")[0]
    examples = [
        example if program.startswith("python -m lkgrag.") else _MODULE.sub(rf"{head} \1", example)
        for example in command.examples
    ]
    lines += ["", "examples:"] + [f"  {example}" for example in examples]
    return "\n".join(lines)


def parse(argv: list[str]) -> tuple[dict[str, str], set[str]]:
    """Split a command line into ``key=value`` pairs and flags.

    Raises:
        ConfigError: an argument is neither.
    """
    pairs: dict[str, str] = {}
    flags: set[str] = set()
    for arg in argv:
        if arg in ACCEPTED:
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
    """Set environment variables that libraries read on import, unless the user has set them.

    A thread that spins while it waits can take the core from the thread that it waits for. Beside another
    busy program, epochs of 3 seconds then took 2 minutes. So waiting threads sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # A lost process has a line of ours; torch's warnings of it hold stacks.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)


def run(command: Command, body: Callable[[dict[str, str], set[str]], None]) -> int:
    """Run a command and return its exit status.

    The status is 0 for success, 2 for an error that the user can act on (one line on stderr), and 130 for an
    interruption.
    """
    with interruptible(command.after_stop) as interruption:
        try:
            return _run(command, body)
        except BaseException as error:
            if not interruption and not isinstance(error, KeyboardInterrupt):
                raise
            if "--debug" in sys.argv[1:]:
                traceback.print_exc()
            interruption.say()
            # Otherwise Python 3.11 ends by the signal if the interruption has passed through an `exec`.
            exec("")
            return STATUS


def _run(command: Command, body: Callable[[dict[str, str], set[str]], None]) -> int:
    """Run a command without care for interruptions; the exit status is 0 or 2."""
    return guard(lambda: _answer(command, body))


def _answer(command: Command, body: Callable[[dict[str, str], set[str]], None]) -> None:
    """Show a page, or run the body of a command."""
    pairs, flags = parse(sys.argv[1:])
    if "--help" in flags:
        print(help_text(command), flush=True)
        return
    if "--version" in flags:
        print(f"lkgrag {__version__}")
        return
    prepare_environment()
    # Only here: --help is printed without rich.
    from lkgrag.utils.console import set_verbosity
    from lkgrag.utils.progress import FIRST, activity

    set_verbosity(flags)
    # At its end Python would look at every object of the libraries for two seconds.
    atexit.register(gc.freeze)
    with activity("load libraries", first=FIRST):
        body(pairs, flags)


def guard(answer: Callable[[], None]) -> int:
    """Answer a command line, and return the exit status: 0, or 2 for an error, which is printed in one line."""
    debug = "--debug" in sys.argv[1:]
    # A log that cannot be written, as on a full disk, must not hide the error behind its own.
    logging.raiseExceptions = debug
    _open_closed_streams()
    # A terminal that cannot show a character of a title shows another one in its place.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        answer()
        # The reader of a pipe may have closed it, which the last text shows.
        sys.stdout.flush()
        return 0
    except LkgragError as error:
        return fail(error, debug)
    except BrokenPipeError:
        # The reader of the output has closed it, as `| head` does: nothing is wrong.
        _silence()
        return 0
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        return fail(explained, debug)


def is_stdout_closed() -> bool:
    """Whether the command was started with a closed stdout, as by ``>&-``."""
    return getattr(sys.stdout, "name", "") == os.devnull and sys.__stdout__ is None


def _open_closed_streams() -> None:
    """Let what is written to a stream that was closed before the start, as by ``>&-``, go nowhere.

    Otherwise the next file that is opened would get the stream's number, and the text of libraries.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken: this one, since those below are open.
            os.open(os.devnull, os.O_RDWR)
        # Open to the end of the program, as these streams are.
        stream = open(os.devnull, "r" if number == 0 else "w", encoding="utf-8")  # noqa: SIM115
        setattr(sys, name, stream)


def _silence() -> None:
    """Send what is still written to a closed pipe nowhere; a file or a terminal is left as it is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def fail(error: LkgragError, debug: bool) -> int:
    """Print an error in one line, with ``debug`` also its traceback, and return the exit status 2."""
    if error.is_said and not debug:
        return 2
    # Only here, as above.
    from rich.markup import escape

    from lkgrag.utils.console import err_console

    if debug:
        traceback.print_exc()
    err_console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    return 2
