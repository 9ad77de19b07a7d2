"""Progress on stderr: bars on a terminal, plain lines elsewhere, and what long work will cost.

While work goes on, a thread prints a line whenever :data:`RHYTHM` seconds have passed without one. So a file or a
pipe gets lines too, also during work that reports no progress. On a terminal, bars take the place of the lines.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from lkgrag.utils import console
from lkgrag.utils.activity import Activity, format_duration
from lkgrag.utils.text import print_wrapped

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Seconds without a line after which one is printed.
RHYTHM = 9.0
#: Seconds after which a command's first line is printed, while it still loads libraries.
FIRST = 4.0
#: Seconds between two looks of the thread.
LOOK = 0.25
#: Seconds of work from which its whole cost is estimated, and the least cost that is worth a line.
ENOUGH, WORTH = 4.0, 20.0


class _Speaker:
    """The work that goes on, innermost last, and the thread that speaks of it."""

    def __init__(self) -> None:
        self.activities: list[Activity] = []
        #: When the last line was printed.
        self.spoken = 0.0
        #: Whether a bar or a spinner is on the terminal, which a line would tear.
        self.is_drawn = False
        self._stop: threading.Event | None = None

    def push(self, activity: Activity, first: float | None = None) -> None:
        """Begin work; the thread runs while there is any.

        Args:
            activity: the work.
            first: seconds until the first line, if no other work goes on (default: :data:`RHYTHM`).
        """
        if not self.activities:
            self.spoken = time.monotonic() - (RHYTHM - first if first is not None else 0)
            self._stop = threading.Event()
            threading.Thread(
                target=self._speak, args=(self._stop,), name="progress", daemon=True
            ).start()
        self.activities.append(activity)

    def pop(self, activity: Activity) -> None:
        """End work."""
        if activity in self.activities:
            self.activities.remove(activity)
        if not self.activities and self._stop is not None:
            self._stop.set()

    def speak(self, now: float) -> None:
        """Print a line if it is time for one.

        Args:
            now: on the clock of :func:`time.monotonic`.
        """
        innermost = self.activities[-1:]
        if not innermost or self.is_drawn or now - self.spoken < RHYTHM:
            return
        self.spoken = now
        tell(innermost[0].line(now))

    def _speak(self, stop: threading.Event) -> None:
        """Print lines until the work is done."""
        while not stop.wait(LOOK):
            try:
                self.speak(time.monotonic())
            except (OSError, ValueError):
                # Nobody reads stderr any longer.
                return


_speaker = _Speaker()


def is_told() -> bool:
    """Whether this process speaks of its progress: not with ``--quiet``, and of several only the first one."""
    return not console.quiet and os.environ.get("RANK", "0") == "0"


def is_progress_shown() -> bool:
    """Whether progress bars are drawn: stderr is a terminal, and this process speaks."""
    return is_told() and sys.stderr.isatty()


def tell(text: str) -> None:
    """Print a line on stderr, below the title of a stage; a process that does not speak prints nothing."""
    if not is_told():
        return
    if console.err_console.is_terminal:
        # A terminal alone would break a long line within a word.
        print_wrapped(console.err_console, 2, Text(text))
    else:
        console.err_console.print(f"  {text}", soft_wrap=True, markup=False)


@contextmanager
def activity(description: str, first: float | None = None) -> Iterator[None]:
    """Name the work of the block, so that lines can be printed while it goes on.

    Args:
        description: in a few words.
        first: seconds until the first line, if no other work goes on (default: :data:`RHYTHM`).
    """
    work = Activity(description)
    _speaker.push(work, first)
    try:
        yield
    finally:
        _speaker.pop(work)


@contextmanager
def without_lines() -> Iterator[None]:
    """Print no lines within the block, as while a service waits for requests."""
    with _drawn():
        yield


def rename_activity(description: str) -> None:
    """Name the work that follows within the innermost :func:`activity`; without one nothing is done."""
    for innermost in _speaker.activities[-1:]:
        innermost.rename(description)


@contextmanager
def spinner(description: str) -> Iterator[None]:
    """Name the work of the block, and draw a spinner on a terminal."""
    with activity(description):
        if not is_progress_shown() or _speaker.is_drawn:
            yield
            return
        with _drawn(), console.err_console.status(f"  {description}"):
            yield


@contextmanager
def bar(
    description: str, show: bool = True, may_end_early: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes ``(done, total)``: it moves a bar, or without a terminal lines are printed.

    Args:
        description: in a few words.
        show: False shows nothing.
        may_end_early: whether the work may stop before all is done.
    """
    if not show:
        yield lambda done, total: None
        return
    work = Activity(description, may_end_early)
    _speaker.push(work)
    try:
        if not is_progress_shown() or _speaker.is_drawn:
            yield work.update
            return
        with _drawn(), _new_progress() as progress:
            task = progress.add_task(description, total=None)

            def update(done: int, total: int) -> None:
                work.update(done, total)
                progress.update(task, completed=done, total=total)

            yield update
    finally:
        _speaker.pop(work)


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate over ``total`` items with a progress bar or lines."""
    with bar(description) as update:
        for done, item in enumerate(items):
            update(done, total)
            yield item


def forecast(
    update: Callable[[int, int], None], units: str, advice: str = ""
) -> Callable[[int, int], None]:
    """Wrap a function that takes ``(done, total)``, so that one line says what the whole will cost.

    The line comes after the first units that took some seconds, such as ``48 prompts took 41 s: about 5 min for
    371; llm.name=none skips this``. Short work gets none.

    Args:
        update: the function.
        units: what is counted.
        advice: how to do without this work.
    """
    work = Activity(units)
    is_open = True

    def wrapped(done: int, total: int) -> None:
        nonlocal is_open
        update(done, total)
        work.update(done, total)
        if not is_open or work.first is None or work.last is None or done <= work.first[1]:
            return
        took, made, all_of_it = (
            work.last[0] - work.first[0],
            done - work.first[1],
            total - work.first[1],
        )
        if took < ENOUGH:
            return
        is_open = False
        whole = took / made * all_of_it
        if whole >= WORTH and made < all_of_it:
            counted = f"{made:,} {units if made > 1 else units.removesuffix('s')}"
            cost = f"about {format_duration(whole)} for {all_of_it:,}"
            line = f"{counted} took {format_duration(took)}: {cost}" + (
                f"; {advice}" if advice else ""
            )
            log.info("%s", line)
            tell(line)

    return wrapped


@contextmanager
def _drawn() -> Iterator[None]:
    """Keep lines off the terminal while something is drawn on it: only one thing can be at a time."""
    _speaker.is_drawn = True
    try:
        yield
    finally:
        _speaker.is_drawn = False
        _speaker.spoken = time.monotonic()


def _new_progress() -> Progress:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console.err_console, transient=True)
