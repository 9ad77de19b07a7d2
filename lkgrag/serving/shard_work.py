"""Shards that the workers of a Ray cluster make."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lkgrag.errors import LkgragError, RunError
from lkgrag.serving.shard_files import ShardPlan, read_shard_sums
from lkgrag.serving.shard_worker import Order, ShardWorker
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.ray_team import Job, Team
from lkgrag.utils.ray_worker import VISIBLE
from lkgrag.utils.sums import hash_file


@dataclass(frozen=True)
class Crew:
    """Who ranks.

    Attributes:
        ranker: folder of the ranker, which every worker reads.
        lm: as ``serving.lm``.
        workers: how many; 0 for as many as the cluster has CPUs for.
        threads: of each, which also takes so many CPUs of the cluster.
        address: of the cluster; None for one on this machine that ends with the rankings.
        enlisted: called with a worker's machine and process when it begins.
        loaded: called when a worker has loaded the ranker.
    """

    ranker: Path
    lm: str | None = None
    workers: int = 1
    threads: int = 1
    address: str | None = None
    enlisted: Callable[[str, int], None] = lambda node, process: None
    loaded: Callable[[], None] = lambda: None


class Shards(Job):
    """Shards as the parts of a job.

    Args:
        plan: the shards.
        progress: called with (shards done, shards in all).

    Attributes:
        few: rankings with fewer than ``k`` items.
    """

    advice = "take fewer workers= or a smaller shard= in a new folder, or look for who ends them"

    def __init__(self, plan: ShardPlan, progress: Callable[[int, int], None] | None) -> None:
        self.plan = plan
        self.progress = progress or (lambda done, total: None)
        self.few = 0

    def name(self, number: int) -> str:
        """The shard's file."""
        return self.plan.path(number).name

    def told(self, number: int) -> int:
        """The number itself."""
        return number

    def tell(self, left: int) -> None:
        """Tell how many shards are there."""
        self.progress(self.plan.count - left, self.plan.count)

    def begun(self) -> None:
        """A worker has loaded the ranker."""
        rename_activity("rank users: shards")

    def receive(self, number: int, answer: dict[str, Any], node: str | None) -> None:
        """Check that a shard has come here as it was written.

        Raises:
            RunError: it has not.
        """
        path, end = self.plan.path(number), time.monotonic() + VISIBLE
        while not _is_like(path, answer["sum"]):
            if time.monotonic() > end:
                raise RunError(
                    f"{path}: worker on {node} wrote it, but it is missing or different here: give the same "
                    "command again, with a folder out= that all machines share and nobody else changes"
                )
            time.sleep(0.1)
        self.few += answer["few"]

    def is_made(self, number: int) -> bool:
        """Whether a lost worker has finished its shard."""
        with suppress(LkgragError):
            return self.plan.is_made(number, read_shard_sums(self.plan.out))
        return False


def _is_like(path: Path, digest: str) -> bool:
    with suppress(OSError):
        return hash_file(path) == digest
    return False


def make_shards(
    ray: ModuleType, crew: Crew, order: Order, shards: Shards, numbers: list[int]
) -> None:
    """Let workers make shards.

    Args:
        ray: the module, connected.
        crew: who ranks.
        order: for each worker.
        shards: all shards.
        numbers: of those to make.

    Raises:
        RunError: as :func:`~lkgrag.serving.shard_crew.recommend_by_crew`.
    """
    team = Team(ray, crew, ShardWorker, order)
    try:
        team.make(shards, numbers)
    finally:
        team.end()
