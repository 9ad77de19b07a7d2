"""Terminal output: the consoles and warnings. It is plain when piped."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import IO, Any, cast

from rich.console import Console
from rich.text import Text


class _Encodable:
    """A stream that shows ``?`` for a character that its encoding lacks.

    Args:
        stream: that is written to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the text."""
        try:
            return self.stream.write(text)
        except UnicodeEncodeError as error:
            return self.stream.write(text.encode(error.encoding, "replace").decode(error.encoding))

    def __getattr__(self, name: str) -> Any:
        """Give everything else as the stream has it."""
        return getattr(self.stream, name)


class PlainConsole(Console):
    """A console whose text any stream can show, and that raises an error if its reader has gone.

    Rich's own fails at a title that an old terminal cannot show, and ends the program without a reader. In a notebook
    it makes each line an output of its own, with progress among the results; here streams stay streams.

    Args:
        **options: as of Rich's console.
    """

    def __init__(self, **options: Any) -> None:
        plain = {"highlight": False, "emoji": False, "force_jupyter": False}
        super().__init__(**{**plain, **options})

    @property
    def file(self) -> IO[str]:
        """The stream, as it is now."""
        return cast("IO[str]", _Encodable(super().file))

    @file.setter
    def file(self, stream: IO[str]) -> None:
        self._file = stream

    def on_broken_pipe(self) -> None:
        """Raise the error again, which commands take for a quiet end."""
        raise


#: Results go to stdout, so that they can be piped.
console = PlainConsole()
#: Progress and errors go to stderr.
err_console = PlainConsole(stderr=True)


@contextmanager
def swallow_stderr() -> Iterator[None]:
    """Swallow what libraries write to stderr within the block; what :data:`err_console` shows still gets there."""
    before = err_console._file
    err_console._file = before or sys.stderr
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        err_console._file = before


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
