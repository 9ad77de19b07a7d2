"""Terminal output: one console, progress bars with a remaining time, quiet when piped."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

#: Results go to stdout, so that they can be piped.
console = Console(highlight=False)
#: Progress and errors go to stderr.
err_console = Console(stderr=True, highlight=False)


#: Set by ``--quiet``: no stages, no progress; results and errors only.
quiet = False


def set_verbosity(flags: set[str]) -> None:
    """Follow ``--quiet`` and ``--verbose``; the log lines of the latter go to stderr."""
    global quiet
    quiet = "--quiet" in flags
    logger = logging.getLogger("lkgrag")
    logger.setLevel(logging.DEBUG if "--verbose" in flags else logging.INFO)
    if "--verbose" in flags:
        from rich.logging import RichHandler

        logger.addHandler(RichHandler(console=err_console, show_path=False, rich_tracebacks=False))


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
