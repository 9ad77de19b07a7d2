"""Warnings of a ranking go to whoever asked for it, not to the service's terminal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOTED = threading.local()


class _Collector(logging.Handler):
    """Keeps the messages of the thread that collects them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        told: list[str] | None = getattr(_NOTED, "told", None)
        if told is not None:
            told.append(record.getMessage())


def _is_for_the_terminal(record: logging.LogRecord) -> bool:
    return getattr(_NOTED, "told", None) is None


def divert_warnings() -> None:
    """Let the package's logger know of :func:`collected`; again after its handlers have changed."""
    logger = logging.getLogger("lkgrag")
    others = [handler for handler in logger.handlers if not isinstance(handler, _Collector)]
    for handler in others:
        handler.addFilter(_is_for_the_terminal)
    if len(others) == len(logger.handlers):
        logger.addHandler(_Collector(logging.WARNING))


@contextmanager
def collected() -> Iterator[list[str]]:
    """The warnings that this thread gives within the block, in a list."""
    told: list[str] = []
    _NOTED.told = told
    try:
        yield told
    finally:
        _NOTED.told = None
