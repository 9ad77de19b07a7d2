"""Ctrl-C: one line that says how to go on, and exit status 130, whatever a library makes of the signal."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

#: Exit status of a command that Ctrl-C ended.
STATUS = 130
#: A launcher repeats the signal to its processes. A later one within so many seconds is its echo.
ECHO = 2.0
#: Seconds after which an interruption that was dropped is repeated.
AGAIN = 0.05


class Interruption:
    """Whether, and when, a command was interrupted.

    Args:
        advice: the line that says how to go on.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice
        self.time: float | None = None
        self._is_said = False

    def __bool__(self) -> bool:
        """Whether the command was interrupted."""
        return self.time is not None

    def say(self) -> None:
        """Print the line, once; of several processes only the first one of each machine prints."""
        rank = os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0"))
        if self._is_said or rank != "0":
            return
        self._is_said = True
        # Not the console, whose lock the interrupted code may hold. The line break ends a terminal's `^C`.
        text = f"{chr(10) if sys.stderr.isatty() else ''}stopped; {self.advice}\n"
        with suppress(OSError, ValueError, RuntimeError):
            sys.stderr.write(text)
            sys.stderr.flush()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the command by the first signal, and end it at once by a late one."""
        now = time.monotonic()
        if self.time is None:
            self.time = now
            raise KeyboardInterrupt
        if now - self.time > ECHO:
            self.say()
            # Files are written under temporary names, which the next run deletes.
            os._exit(STATUS)

    def handle_swallowed(self, event: sys.UnraisableHookArgs) -> None:
        """Interrupt again where Python has dropped the interruption, as in a destructor or a weak reference."""
        if event.exc_type is not None and issubclass(event.exc_type, KeyboardInterrupt):
            self.time = None
            # Here a second exception would be dropped, too: another thread raises it.
            main = threading.main_thread().ident
            again = threading.Timer(AGAIN, signal.pthread_kill, (main, signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            sys.__unraisablehook__(event)


@contextmanager
def interruptible(advice: str) -> Iterator[Interruption]:
    """Handle Ctrl-C within the block.

    A library may turn the interruption into another error, or swallow it. So the signal itself is noted.

    Args:
        advice: the line that says how to go on.
    """
    interruption = Interruption(advice)
    is_main = threading.current_thread() is threading.main_thread()
    # A shell gives a command in the background a signal that is ignored; it stays so.
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interruption
        return
    signal.signal(signal.SIGINT, interruption.handle)
    hook, sys.unraisablehook = sys.unraisablehook, interruption.handle_swallowed
    try:
        yield interruption
    finally:
        # An interrupted command ends now, and a repeated signal must not disturb its end.
        if not interruption:
            sys.unraisablehook = hook
            signal.signal(signal.SIGINT, signal.default_int_handler)
