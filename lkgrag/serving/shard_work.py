"""Shards that the workers of a Ray cluster make: who makes which, and what happens when one is lost."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lkgrag.errors import LkgragError, RunError, short
from lkgrag.serving.shard_files import ShardPlan, read_shard_sums
from lkgrag.serving.shard_worker import VISIBLE, Order, ShardWorker
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.sums import hash_file

log = logging.getLogger(__name__)

#: Workers that may be lost at one shard, and without any shard made between them for each worker.
LOSSES = 3
#: Seconds until the first worker must have a place in the cluster.
PATIENCE = 300.0
#: Seconds between two looks at the clock while workers work.
LOOK = 1.0


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


class _Worker:
    """A worker in the cluster: its actor, its machine, and the shard that it makes."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.node: str | None = None
        self.number: int | None = None


class Work:
    """Shards that are made by workers.

    Args:
        ray: the module, connected.
        crew: who ranks.
        order: for each worker.
        plan: the shards.
        progress: called with (shards done, shards in all).
    """

    def __init__(
        self,
        ray: ModuleType,
        crew: Crew,
        order: Order,
        plan: ShardPlan,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.ray = ray
        self.crew = crew
        self.plan = plan
        self.progress = progress or (lambda done, total: None)
        self.few = 0
        self._waiting: deque[int] = deque()
        self._left = 0
        #: The workers by what they are asked for.
        self._calls: dict[Any, _Worker] = {}
        self._workers: set[_Worker] = set()
        self._lost: Counter[int | None] = Counter()
        self._lost_in_row = 0
        self._is_any_there = False
        errors = ray.exceptions
        self._losses = (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
        )
        actor = ray.remote(ShardWorker)
        # A lost actor is replaced here, since only here is known which shard it made.
        spread = {"num_cpus": crew.threads, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self._new_actor = lambda: actor.options(**spread).remote(order)

    def make(self, numbers: list[int]) -> int:
        """Make shards.

        Args:
            numbers: of the shards.

        Returns:
            How many of the rankings have fewer than ``k`` items.

        Raises:
            RunError: as :func:`recommend_by_crew`.
        """
        self._waiting.extend(numbers)
        self._left = len(numbers)
        self._tell()
        try:
            for _ in range(min(self.crew.workers, len(numbers))):
                self._hire()
            end = time.monotonic() + PATIENCE
            while self._left:
                done, _ = self.ray.wait(list(self._calls), num_returns=1, timeout=LOOK)
                for call in done:
                    self._receive(call)
                if not self._is_any_there and time.monotonic() > end:
                    raise RunError(self._say_full())
        except self.ray.exceptions.RayTaskError:
            # A fault of the program, in a worker.
            raise
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            raise RunError(
                f"Ray's cluster was lost ({short(str(error))}); the same command goes on"
            ) from error
        finally:
            self._dismiss()
        return self.few

    def _tell(self) -> None:
        self.progress(self.plan.count - self._left, self.plan.count)

    def _hire(self) -> None:
        """Start a worker."""
        worker = _Worker(self._new_actor())
        self._workers.add(worker)
        self._calls[worker.actor.enlist.remote()] = worker

    def _dismiss(self) -> None:
        """End the workers; those of a lost cluster are gone."""
        for worker in list(self._workers):
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        """End a worker, also one that only seems to be lost."""
        self._workers.discard(worker)
        with suppress(Exception):
            self.ray.kill(worker.actor)

    def _receive(self, call: Any) -> None:
        """Take a worker's answer, and give it the next shard; a lost worker is replaced.

        Raises:
            RunError: the worker has a problem, or too many were lost.
        """
        worker = self._calls.pop(call)
        try:
            answer = self.ray.get(call)
        except self._losses as error:
            self._end(worker)
            self._replace(worker, error)
            return
        node = worker.node or answer.get("node")
        if answer["problem"] is not None:
            raise RunError(f"worker on {node}: {answer['problem']}")
        if worker.node is None:
            worker.node, self._is_any_there = node, True
            self.crew.enlisted(answer["node"], answer["process"])
            self._calls[worker.actor.load.remote()] = worker
            return
        if worker.number is None:
            rename_activity("rank users: shards")
            self.crew.loaded()
        else:
            self._check(worker.number, answer["sum"], worker.node)
            self.few += answer["few"]
            self._count()
            self._lost_in_row = 0
        self._assign(worker)

    def _count(self) -> None:
        self._left -= 1
        self._tell()

    def _assign(self, worker: _Worker) -> None:
        """Give a worker a shard, or end it if there is none."""
        worker.number = None
        if self._waiting:
            worker.number = self._waiting.popleft()
            self._calls[worker.actor.make.remote(worker.number)] = worker
        else:
            self._end(worker)

    def _check(self, number: int, digest: str, node: str | None) -> None:
        """Check that a shard has come here as it was written.

        Raises:
            RunError: it has not.
        """
        path, end = self.plan.path(number), time.monotonic() + VISIBLE
        while True:
            with suppress(OSError):
                if hash_file(path) == digest:
                    return
            if time.monotonic() > end:
                raise RunError(
                    f"{path}: worker on {node} wrote it, but it is missing or different here: give the same "
                    "command again, with a folder out= that all machines share and nobody else changes"
                )
            time.sleep(0.1)

    def _replace(self, worker: _Worker, error: Exception) -> None:
        """Start another worker for one that was lost, and let its shard be made.

        Raises:
            RunError: too many were lost.
        """
        where = worker.node or "a machine of the cluster"
        why = "out of memory" if _is_memory(error) else "killed, or its machine was lost"
        number = worker.number
        self._lost[number] += number is not None
        self._lost_in_row += 1
        is_often = self._lost[number] >= LOSSES
        if is_often or self._lost_in_row >= LOSSES * self.crew.workers:
            at = f" at {self.plan.path(number).name}" if number is not None else " before any shard"
            raise RunError(
                f"worker on {where} lost{at}, the last of {self._lost[number] if is_often else self._lost_in_row} "
                f"({why}): take fewer workers= or a smaller shard= in a new folder, or look for who ends them; "
                "the same command goes on"
            )
        log.warning("worker on %s lost (%s); another one takes its place", where, why)
        if number is not None:
            # It may have been lost right after it gave the shard its name.
            if self._is_there(number):
                self._count()
            else:
                self._waiting.appendleft(number)
        if self._waiting:
            self._hire()

    def _is_there(self, number: int) -> bool:
        """Whether a lost worker has finished its shard."""
        with suppress(LkgragError):
            return self.plan.is_made(number, read_shard_sums(self.plan.out))
        return False

    def _say_full(self) -> str:
        """Why no worker has come."""
        cpus = self.ray.cluster_resources().get("CPU", 0)
        free = self.ray.available_resources().get("CPU", 0)
        return (
            f"no worker has started in {PATIENCE:.0f} seconds: of the cluster's {cpus:g} CPUs {free:g} are free, and a "
            f"worker takes {self.crew.threads}; wait for other work on it, or set threads=1 in the run"
        )


def _is_memory(error: Exception) -> bool:
    """Whether Ray says that it ended a worker for want of memory; of others it only lists possible causes."""
    return type(error).__name__ == "OutOfMemoryError" or "running low on memory" in str(error)
