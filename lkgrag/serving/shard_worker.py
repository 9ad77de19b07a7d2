"""A worker that ranks shards in a process of a Ray cluster.

Its class travels to the worker as code, so it starts where lkgrag is missing or of another version, and can say so.
Therefore this file imports nothing of lkgrag but what travels with it, and the rest inside its methods.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lkgrag.utils.ray_worker import RayWorker


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


class ShardWorker(RayWorker):
    """Loads the ranker once and writes shards."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.order = order
        self.ranker: Any = None
        self.plan: Any = None
        self.request: Any = None

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
        # Only here: see the module.
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
