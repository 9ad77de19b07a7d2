"""Terminal output: one console, progress bars with a remaining time, warnings; plain when piped."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar("T")

#: Results go to stdout, so that they can be piped.
console = Console(highlight=False, emoji=False)
#: Progress and errors go to stderr.
err_console = Console(stderr=True, highlight=False, emoji=False)


#: Set by ``--quiet``: no stages, no progress; results and errors only.
quiet = False


class Warnings(logging.Handler):
    """Shows a warning in one line on stderr; its traceback is for the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        text = Text.assemble(("warning:", "yellow"), " ", record.getMessage())
        err_console.print(text, soft_wrap=True)


#: The handler that :func:`set_verbosity` put in place.
_shown: logging.Handler | None = None


def set_verbosity(flags: set[str]) -> None:
    """Follow ``--quiet`` and ``--verbose``: errors only, warnings too, or every log line, on stderr.

    Of several processes only the first one speaks.
    """
    global quiet, _shown
    quiet = "--quiet" in flags
    logger = logging.getLogger("lkgrag")
    # The run's own log gets everything of note, whatever is shown.
    logger.setLevel(logging.DEBUG if "--verbose" in flags else logging.INFO)
    if _shown is not None:
        logger.removeHandler(_shown)
    if quiet or os.environ.get("RANK", "0") != "0":
        _shown = logging.NullHandler()
    elif "--verbose" in flags:
        from rich.logging import RichHandler

        _shown = RichHandler(console=err_console, show_path=False, rich_tracebacks=False)
    else:
        _shown = Warnings(logging.WARNING)
    logger.addHandler(_shown)


def bars_shown() -> bool:
    """Whether progress bars are drawn: on a terminal, unless it shall be quiet."""
    return sys.stderr.isatty() and not quiet


def _bar() -> Progress:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err_console, transient=True)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar and a remaining time; no bar if stderr is no terminal."""
    if not bars_shown():
        yield from items
        return
    with _bar() as progress:
        yield from progress.track(items, description=description, total=total)


@contextmanager
def bar(description: str, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Give a function that is told ``(done, total)``; no bar if stderr is no terminal."""
    if not show or not bars_shown():
        yield lambda done, total: None
        return
    with _bar() as progress:
        task = progress.add_task(description, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update
