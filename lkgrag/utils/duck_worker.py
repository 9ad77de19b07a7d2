"""A worker with a database in a process of a Ray cluster.

Its class travels to the worker as code, so it starts where lkgrag is missing or of another version, and can say so.
Therefore this file imports nothing of lkgrag but what travels with it, and the rest inside its methods.
"""

from __future__ import annotations

import importlib
import pickle
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lkgrag.utils.ray_worker import VISIBLE, RayWorker


@dataclass(frozen=True)
class Order:
    """What a worker has to do.

    Attributes:
        version: of lkgrag.
        out: folder of the results.
        token: a file in it, and its text.
        memory: for queries and their results, as ``engine.memory``.
        temp: folder for what does not fit into memory.
        threads: of the worker.
        modules: whose functions it will call; importing some of them takes seconds.
    """

    version: str
    out: str
    token: tuple[str, str]
    memory: str
    temp: str | None
    threads: int
    modules: tuple[str, ...] = ()


class DuckWorker(RayWorker):
    """Opens a database once and makes parts, each a call that writes a file."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.order = order
        self.duck: Any = None
        self._open: Any = None

    def load(self) -> dict[str, Any]:
        """Open the database."""
        return self._answer(self._load, "while it began: take fewer workers=")

    def make(self, told: bytes) -> dict[str, Any]:
        """Make a part.

        Args:
            told: the pickled :class:`~lkgrag.utils.steps.Task`.

        Returns:
            ``bytes``, the size of its file.
        """
        return self._answer(
            lambda: self._make(told), "at a part: take fewer workers=, or a smaller engine.memory="
        )

    def _load(self) -> dict[str, Any]:
        # Only here: see the module.
        from lkgrag.utils.device import set_threads
        from lkgrag.utils.duck import open_duck

        set_threads(self.order.threads)
        for name in self.order.modules:
            importlib.import_module(name)
        # Closed with the process; whoever comes next deletes the folder of a killed one.
        self._open = open_duck(self.order, self.order.threads, beside=Path(self.order.out))
        self.duck = self._open.__enter__()
        return {}

    def _make(self, told: bytes) -> dict[str, Any]:
        # Only here, as above.
        from lkgrag.errors import LkgragError

        task = pickle.loads(told)
        end = time.monotonic() + VISIBLE
        while not task.out.exists():
            try:
                task.call(self.duck, *task.args)
            except (LkgragError, FileNotFoundError) as error:
                # Another machine may have given a file its name a moment ago.
                if time.monotonic() > end or not _is_missing(error):
                    raise
                time.sleep(0.2)
        return {"bytes": task.out.stat().st_size}


def _is_missing(error: Exception) -> bool:
    """Whether an error tells of a file that is not there."""
    text = str(error).lower()
    return isinstance(error, FileNotFoundError) or "missing" in text or "no such file" in text
