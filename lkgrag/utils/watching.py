"""Figures of learning while it goes on: whoever watches sees each of them, and may end the work by an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Takes (stage, units done, all units, figure).
Watcher = Callable[[str, int, int, float], None]

_watchers: list[Watcher] = []


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Let a function see every figure that is told within the block.

    Args:
        watcher: called with the name of the stage, the units done, all units, and the figure. What it raises ends
            the work that told the figure.
    """
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def tell_figure(stage: str, done: int, total: int, figure: float) -> None:
    """Tell whoever watches a figure; without anyone nothing is done.

    Args:
        stage: what learns, as ``lrurec``.
        done: units done, as epochs.
        total: all units; the work may end earlier.
        figure: what validation or held-out users say at this point.
    """
    for watcher in [*_watchers]:
        watcher(stage, done, total, figure)
