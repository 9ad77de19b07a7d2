"""Terminal output: the consoles, progress bars with the remaining time, warnings. It is plain when piped."""

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


#: Set by ``--quiet``: only results and errors are shown, no stages and no progress.
quiet = False


class Warnings(logging.Handler):
    """Shows a warning in one line on stderr. Its traceback goes to the run's log only."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the warning."""
        text = Text.assemble(("warning:", "yellow"), " ", record.getMessage())
        err_console.print(text, soft_wrap=True)


#: The handler that :func:`set_verbosity` added to the logger.
_handler: logging.Handler | None = None


def set_verbosity(flags: set[str]) -> None:
    """Show on stderr what ``--quiet`` and ``--verbose`` ask for.

    ``--quiet`` shows errors only, ``--verbose`` every log line. Without either, warnings are shown too.
    Of several processes only the first one writes.
    """
    global quiet, _handler
    quiet = "--quiet" in flags
    logger = logging.getLogger("lkgrag")
    # The run's log takes every message from INFO on, whatever the terminal shows.
    logger.setLevel(logging.DEBUG if "--verbose" in flags else logging.INFO)
    if _handler is not None:
        logger.removeHandler(_handler)
    if quiet or os.environ.get("RANK", "0") != "0":
        _handler = logging.NullHandler()
    elif "--verbose" in flags:
        # Only here: few commands are verbose, and this part of rich is slow to import.
        from rich.logging import RichHandler

        _handler = RichHandler(console=err_console, show_path=False, rich_tracebacks=False)
    else:
        _handler = Warnings(logging.WARNING)
    logger.addHandler(_handler)


def is_progress_shown() -> bool:
    """Whether progress bars are drawn: stderr is a terminal, and ``--quiet`` is not set."""
    return sys.stderr.isatty() and not quiet


def _new_progress() -> Progress:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err_console, transient=True)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar and the remaining time. There is no bar if stderr is no terminal."""
    if not is_progress_shown():
        yield from items
        return
    with _new_progress() as progress:
        yield from progress.track(items, description=description, total=total)


@contextmanager
def bar(description: str, show: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that moves a progress bar to ``(done, total)``; without a terminal it does nothing."""
    if not show or not is_progress_shown():
        yield lambda done, total: None
        return
    with _new_progress() as progress:
        task = progress.add_task(description, total=None)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield update
