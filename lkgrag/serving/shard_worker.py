"""A worker that ranks shards in a process of a Ray cluster.

Its class travels to the worker as code, so it starts where lkgrag is missing or of another version, and can say so.
Therefore this file imports nothing of lkgrag but inside its methods.
"""

from __future__ import annotations

import os
import pickle
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds after which a file that another machine wrote should be visible.
VISIBLE = 5.0


@dataclass(frozen=True)
class Order:
    """What a worker has to do.

    Attributes:
        version: of lkgrag.
        out: folder of the shards.
        token: a file in it, and its text.
        ranker: folder of the ranker.
        fingerprint: of that ranker.
        lm: as ``serving.lm``.
        threads: of the worker.
        request: the pickled :class:`~lkgrag.serving.shards.BulkRequest`.
        plan: the pickled :class:`~lkgrag.serving.shard_files.ShardPlan`.
    """

    version: str
    out: str
    token: tuple[str, str]
    ranker: str
    fingerprint: str
    lm: str | None
    threads: int
    request: bytes
    plan: bytes


class ShardWorker:
    """Loads the ranker once and writes shards. Answers are plain values; ``problem`` is one line for the user."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.ranker: Any = None
        self.plan: Any = None
        self.request: Any = None

    def enlist(self) -> dict[str, Any]:
        """Tell where this worker runs, and whether it can take part."""
        return {"node": platform.node(), "process": os.getpid(), "problem": self._find_problem()}

    def _find_problem(self) -> str | None:
        """What keeps this worker from its work; None if nothing does."""
        order = self.order
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

    def load(self) -> dict[str, Any]:
        """Load the ranker."""
        return self._answer(self._load, "while it loaded the ranker: take fewer workers=")

    def make(self, number: int) -> dict[str, Any]:
        """Write a shard.

        Returns:
            ``few``, the rankings with fewer than ``k`` items, and ``sum``, the file's SHA-256.
        """
        return self._answer(
            lambda: self._make(number), "at a shard: take fewer workers=, or a smaller shard="
        )

    def _load(self) -> dict[str, Any]:
        # Only here, as above.
        from lkgrag.cli.command import prepare_environment

        prepare_environment()
        # Only here, as above.
        from lkgrag.errors import RunError
        from lkgrag.serving.ranker import Ranker
        from lkgrag.serving.shards import fingerprint
        from lkgrag.utils.device import set_threads

        order = self.order
        self.plan, self.request = pickle.loads(order.plan), pickle.loads(order.request)
        set_threads(order.threads)
        self.ranker = Ranker.from_pretrained(order.ranker, "cpu", order.lm)
        if fingerprint(Path(order.ranker)) != order.fingerprint:
            raise RunError(
                f"{order.ranker} holds another ranker there: name a run that all machines share"
            )
        return {}

    def _make(self, number: int) -> dict[str, Any]:
        # Only here, as above.
        from lkgrag.serving.shards import write_shard
        from lkgrag.utils.sums import hash_file

        path = self.plan.path(number)
        few = write_shard(self.ranker, path, self.plan.rows(number), self.request)
        return {"few": few, "sum": hash_file(path)}

    def _answer(self, work: Any, memory: str) -> dict[str, Any]:
        """Do some work; what the user can act on becomes a problem."""
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
