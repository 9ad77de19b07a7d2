"""Terminal output: one console, progress bars with a remaining time, quiet when piped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")

#: Results go to stdout, so that they can be piped.
console = Console(highlight=False)
#: Progress and errors go to stderr.
err_console = Console(stderr=True, highlight=False)


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar and a remaining time; no bar if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err_console, transient=True) as progress:
        yield from progress.track(items, description=description, total=total)
