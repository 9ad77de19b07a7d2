"""A worker in a process of a Ray cluster: whether it can take part, and its answers.

Its class travels to the worker as code, so it starts where lkgrag is missing or of another version, and can say so.
Therefore this file imports nothing of lkgrag but inside its methods.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

#: Seconds after which a file that another machine wrote should be visible.
VISIBLE = 5.0


class Order(Protocol):
    """What every worker is told."""

    @property
    def version(self) -> str:
        """Version of lkgrag."""

    @property
    def out(self) -> str:
        """Folder of the results, which all machines share."""

    @property
    def token(self) -> tuple[str, str]:
        """A file in that folder, and its text."""


class RayWorker:
    """Answers with plain values; ``problem`` is one line for the user.

    Args:
        order: what it has to do.
    """

    def __init__(self, order: Order) -> None:
        self.told = order

    def enlist(self) -> dict[str, Any]:
        """Tell where this worker runs, and whether it can take part."""
        return {"node": platform.node(), "process": os.getpid(), "problem": self._find_problem()}

    def _find_problem(self) -> str | None:
        """What keeps this worker from its work; None if nothing does."""
        order = self.told
        try:
            # Only here, as in all of this class: see the module.
            from lkgrag import __version__
        except ImportError as error:
            return f"lkgrag cannot be imported there ({error}): install lkgrag=={order.version}"
        if __version__ != order.version:
            return f"it has lkgrag {__version__}, not {order.version}: install the same version"
        name, text = order.token
        end = time.monotonic() + VISIBLE
        while not _holds(Path(order.out, name), text):
            if time.monotonic() > end:
                return f"out={order.out} is not the same folder there: name one that all machines share"
            time.sleep(0.1)
        return None

    def _answer(self, work: Callable[[], dict[str, Any]], memory: str) -> dict[str, Any]:
        """Do some work; what the user can act on becomes a problem.

        Args:
            work: gives what is answered.
            memory: when there was too little memory, and what to do.
        """
        # Only here, as above.
        from lkgrag.errors import LkgragError
        from lkgrag.utils.failures import MEMORY, explain

        try:
            return {"problem": None, **work()}
        except LkgragError as error:
            return {"problem": str(error)}
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            text = str(explained)
            return {"problem": f"out of memory {memory}" if text == MEMORY else text}


def _holds(path: Path, text: str) -> bool:
    """Whether a file holds a text."""
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False
