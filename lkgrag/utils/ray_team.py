"""Workers of a Ray cluster that share work: who does which part, and what happens when one is lost."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any, Protocol

from lkgrag.errors import RunError, short

log = logging.getLogger(__name__)

#: Workers that may be lost at one part, and without any part made between them for each worker.
LOSSES = 3
#: Seconds until the first worker must have a place in the cluster.
PATIENCE = 300.0
#: Seconds between two looks at the clock while workers work.
LOOK = 1.0


class Size(Protocol):
    """How many workers there are."""

    @property
    def workers(self) -> int:
        """How many."""

    @property
    def threads(self) -> int:
        """Of each, which also takes so many CPUs of the cluster."""

    @property
    def enlisted(self) -> Callable[[str, int], None]:
        """Called with a worker's machine and process when it begins."""

    @property
    def loaded(self) -> Callable[[], None]:
        """Called when a worker is ready."""


class Job(ABC):
    """Parts of work, by number."""

    #: What to do where workers are lost again and again.
    advice: str

    @abstractmethod
    def name(self, number: int) -> str:
        """What a message calls a part."""

    @abstractmethod
    def told(self, number: int) -> Any:
        """What a worker's ``make`` is called with."""

    @abstractmethod
    def receive(self, number: int, answer: dict[str, Any], node: str | None) -> None:
        """Take the answer of the worker that has made a part.

        Raises:
            RunError: what it has made did not come here.
        """

    @abstractmethod
    def is_made(self, number: int) -> bool:
        """Whether a lost worker has finished a part."""

    @abstractmethod
    def tell(self, left: int) -> None:
        """Tell how many parts are left."""

    @abstractmethod
    def begun(self) -> None:
        """A worker is ready."""


class _Worker:
    """A worker in the cluster: its actor, its machine, and the part that it makes."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.node: str | None = None
        self.number: int | None = None


class Team:
    """Workers that make parts of one job after the other.

    Args:
        ray: the module, connected.
        size: how many.
        kind: class of the workers, a :class:`~lkgrag.utils.ray_worker.RayWorker` with ``load`` and ``make``.
        order: for each worker.
    """

    def __init__(self, ray: ModuleType, size: Size, kind: type, order: object) -> None:
        self.ray = ray
        self.size = size
        self._job: Job | None = None
        self._waiting: deque[int] = deque()
        self._left = 0
        #: The workers by what they are asked for.
        self._calls: dict[Any, _Worker] = {}
        self._workers: set[_Worker] = set()
        #: Those that are ready and have nothing to do.
        self._idle: list[_Worker] = []
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
        actor = ray.remote(kind)
        # A lost actor is replaced here, since only here is known which part it made.
        spread = {"num_cpus": size.threads, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self._new_actor = lambda: actor.options(**spread).remote(order)

    def make(self, job: Job, numbers: Sequence[int]) -> None:
        """Let parts be made.

        Args:
            job: the work.
            numbers: of its parts.

        Raises:
            RunError: a worker cannot take part, or workers or the cluster are lost again and again. All workers end.
        """
        self._job, self._left = job, len(numbers)
        self._waiting.extend(numbers)
        self._lost.clear()
        job.tell(self._left)
        try:
            while self._idle and self._waiting:
                self._assign(self._idle.pop())
            while len(self._workers) < min(self.size.workers, len(numbers)):
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
            self.end()
            raise
        except (self.ray.exceptions.RayError, ConnectionError) as error:
            self.end()
            raise RunError(
                f"Ray's cluster was lost ({short(str(error))}); the same command goes on"
            ) from error
        except BaseException:
            self.end()
            raise

    def hire(self) -> None:
        """Start all workers, before there is work for each; :meth:`make` starts those that it needs."""
        while len(self._workers) < self.size.workers:
            self._hire()

    def end(self) -> None:
        """End the workers; those of a lost cluster are gone."""
        for worker in list(self._workers):
            self._end(worker)
        self._calls.clear()
        self._waiting.clear()

    @property
    def _work(self) -> Job:
        assert self._job is not None, "set by make()"
        return self._job

    def _hire(self) -> None:
        """Start a worker."""
        worker = _Worker(self._new_actor())
        self._workers.add(worker)
        self._calls[worker.actor.enlist.remote()] = worker

    def _end(self, worker: _Worker) -> None:
        """End a worker, also one that only seems to be lost."""
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        with suppress(Exception):
            self.ray.kill(worker.actor)

    def _receive(self, call: Any) -> None:
        """Take a worker's answer, and give it the next part; a lost worker is replaced.

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
            self.size.enlisted(answer["node"], answer["process"])
            self._calls[worker.actor.load.remote()] = worker
            return
        if worker.number is None:
            self._work.begun()
            self.size.loaded()
        else:
            self._work.receive(worker.number, answer, worker.node)
            self._count()
            self._lost_in_row = 0
        self._assign(worker)

    def _count(self) -> None:
        self._left -= 1
        self._work.tell(self._left)

    def _assign(self, worker: _Worker) -> None:
        """Give a worker a part, or let it wait if there is none."""
        worker.number = None
        if self._waiting:
            worker.number = self._waiting.popleft()
            told = self._work.told(worker.number)
            self._calls[worker.actor.make.remote(told)] = worker
        else:
            self._idle.append(worker)

    def _replace(self, worker: _Worker, error: Exception) -> None:
        """Start another worker for one that was lost, and let its part be made.

        Raises:
            RunError: too many were lost.
        """
        where = worker.node or "a machine of the cluster"
        why = "out of memory" if _is_memory(error) else "killed, or its machine was lost"
        number = worker.number
        self._lost[number] += number is not None
        self._lost_in_row += 1
        is_often = self._lost[number] >= LOSSES
        if is_often or self._lost_in_row >= LOSSES * self.size.workers:
            at = f" at {self._work.name(number)}" if number is not None else " before any part"
            raise RunError(
                f"worker on {where} lost{at}, the last of {self._lost[number] if is_often else self._lost_in_row} "
                f"({why}): {self._work.advice}; the same command goes on"
            )
        log.warning("worker on %s lost (%s); another one takes its place", where, why)
        if number is not None:
            # It may have been lost right after it gave the part its name.
            if self._work.is_made(number):
                self._count()
            else:
                self._waiting.appendleft(number)
        if self._waiting:
            self._hire()

    def _say_full(self) -> str:
        """Why no worker has come."""
        cpus = self.ray.cluster_resources().get("CPU", 0)
        free = self.ray.available_resources().get("CPU", 0)
        return (
            f"no worker has started in {PATIENCE:.0f} seconds: of the cluster's {cpus:g} CPUs {free:g} are free, and a "
            f"worker takes {self.size.threads}; wait for other work on it, or set threads=1"
        )


def _is_memory(error: Exception) -> bool:
    """Whether Ray says that it ended a worker for want of memory; of others it only lists possible causes."""
    return type(error).__name__ == "OutOfMemoryError" or "running low on memory" in str(error)
