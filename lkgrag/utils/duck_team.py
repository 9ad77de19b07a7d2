"""Steps whose parts are made by the workers of a Ray cluster, each with a database of its own."""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from lkgrag import __version__
from lkgrag.errors import RunError
from lkgrag.utils import duck_worker
from lkgrag.utils.duck import FRESH, PREFIX, Duck, sweep_temporary
from lkgrag.utils.duck_limits import LEAST, Limits, arrays_of, memory_of
from lkgrag.utils.duck_worker import DuckWorker, Order
from lkgrag.utils.files import sweep, user_path
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.ray_cluster import count_places, open_cluster, put_token, travelling
from lkgrag.utils.ray_team import Job, Team
from lkgrag.utils.ray_worker import VISIBLE
from lkgrag.utils.steps import Hands, Task

#: Rows of a part, as long as there are no more than so many parts.
ROWS, PARTS = 1 << 20, 256
MB = 10**6
#: Share of a machine's memory that its workers' databases may take together.
SHARE = 0.5


@dataclass(frozen=True)
class Crew:
    """Who counts.

    Attributes:
        workers: how many; 0 for as many as the cluster has CPUs for.
        threads: of each, which also takes so many CPUs of the cluster.
        address: of the cluster; None for one on this machine that ends with the work.
        enlisted: called with a worker's machine and process when it begins.
        loaded: called when a worker has opened its database.
        modules: whose functions the parts call.
    """

    workers: int = 1
    threads: int = 1
    address: str | None = None
    enlisted: Callable[[str, int], None] = lambda node, process: None
    loaded: Callable[[], None] = lambda: None
    modules: tuple[str, ...] = ()


class _Parts(Job):
    """The parts of a step."""

    advice = "take fewer workers=, or look for who ends them"

    def __init__(self, words: str, tasks: Sequence[Task]) -> None:
        self.words, self.tasks = words, tasks

    def name(self, number: int) -> str:
        """The folder and the name of the file."""
        return "/".join(self.tasks[number].out.parts[-2:])

    def told(self, number: int) -> bytes:
        """The task, pickled here: what cannot be sent is a fault of the program."""
        return pickle.dumps(self.tasks[number])

    def receive(self, number: int, answer: dict[str, Any], node: str | None) -> None:
        """Check that a file has come here as it was written."""
        path, end = self.tasks[number].out, time.monotonic() + VISIBLE
        while not _has_size(path, answer["bytes"]):
            if time.monotonic() > end:
                raise RunError(
                    f"{path}: worker on {node} wrote it, but it is missing or different here: give the same "
                    "command again, with a folder out= that all machines share and nobody else changes"
                )
            time.sleep(0.05)

    def is_made(self, number: int) -> bool:
        """Whether a part has its name."""
        return self.tasks[number].out.exists()

    def tell(self, left: int) -> None:
        """Tell how many parts are there."""
        rename_activity(f"{self.words}: {len(self.tasks) - left} of {len(self.tasks)}")

    def begun(self) -> None:
        """A worker is ready, which is not worth a line."""


def _has_size(path: Path, size: int) -> bool:
    with suppress(OSError):
        return path.stat().st_size == size
    return False


class TeamHands(Hands):
    """The workers of a cluster.

    Args:
        duck: the database of this process.
        team: the workers.
        memory: bytes of a worker for queries and their results.
    """

    is_spread = True

    def __init__(self, duck: Duck, team: Team, memory: int) -> None:
        self.duck = duck
        self.team = team
        self.memory = memory

    def do(self, words: str, tasks: Sequence[Task]) -> list[Path]:
        """Let workers make the parts that are not there."""
        missing = [n for n, task in enumerate(tasks) if not task.out.exists()]
        if missing:
            self.team.make(_Parts(words, tasks), missing)
        return [task.out for task in tasks]

    def most_rows(self, total: int, size: int) -> int:
        """As many as fit into a worker's memory, and few enough for many workers."""
        return max(1, min(arrays_of(self.memory) // size, max(ROWS, total // PARTS)))


@contextmanager
def open_team(duck: Duck, limits: Limits, out: Path, crew: Crew) -> Iterator[TeamHands]:
    """Start workers, and end them with the block.

    Args:
        duck: the database of this process.
        limits: of each database.
        out: folder of the results, which all machines share and this process has locked.
        crew: who counts.

    Raises:
        ConfigError: Ray is not installed.
        RunError: the cluster cannot be used, a worker cannot take part, or workers are lost again and again.
    """
    sweep(out)
    for path in out.glob(f"{FRESH}*"):
        # Of a killed worker: nobody else begins here while this process holds the folder.
        shutil.rmtree(path, ignore_errors=True)
    try:
        rename_activity("start the workers")
        with (
            put_token(out) as token,
            open_cluster(crew.address, crew.workers * crew.threads) as ray,
        ):
            workers = crew.workers or count_places(ray, crew.threads)
            memory = memory_of_worker(ray, limits, crew) // MB * MB
            # Workers may stand in another folder.
            temp = limits.temp and str(user_path(limits.temp, "engine.temp").absolute())
            words = f"{memory // MB}MB"
            order = Order(__version__, str(out), token, words, temp, crew.threads, crew.modules)
            with travelling(ray, duck_worker):
                team = Team(ray, replace(crew, workers=workers), DuckWorker, order)
                try:
                    team.hire()
                    yield TeamHands(duck, team, memory)
                finally:
                    team.end()
    finally:
        _sweep(out, duck.temp)


def memory_of_worker(ray: ModuleType, limits: Limits, crew: Crew) -> int:
    """Bytes that a worker's queries and results may take: ``engine.memory``, or its share of the smallest machine.

    Raises:
        ConfigError: ``engine.memory`` is no amount, or too little.
    """
    if limits.memory is not None:
        return memory_of(limits)
    if crew.address is None:
        # This process counts what is not divided.
        return max(LEAST, memory_of(limits) // (crew.workers + 1))
    shares = [
        float(node["Resources"]["memory"]) * crew.threads / float(node["Resources"]["CPU"])
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU") and node["Resources"].get("memory")
    ]
    return max(LEAST, int(SHARE * min(shares))) if shares else memory_of(limits)


def _sweep(out: Path, mine: Path) -> None:
    """Delete the folders of workers that have ended; their processes may take a moment."""
    end = time.monotonic() + VISIBLE
    while True:
        sweep_temporary(out)
        left = [path for path in out.glob(f"{PREFIX}*") if path != mine]
        if not left or time.monotonic() > end:
            return
        time.sleep(0.1)
