"""Programs with all of their processes: seconds of the processor, memory, and one that is killed in the middle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

import psutil

#: Command lines of workers: tasks and actors of Ray, and executors of Spark.
WORKER = re.compile(
    r"ray::(?!IDLE|Dashboard|RuntimeEnv|\S*Agent|\S*SystemActor)|CoarseGrainedExecutorBackend"
)
#: Seconds between two looks, and between two sums of the memory.
LOOK, SUM = 0.1, 0.5


def metered(
    line: list[str], environment: dict[str, str], kill: float | None = None
) -> dict[str, Any]:
    """Run a command and look at its processes.

    Args:
        line: the command.
        environment: of it.
        kill: seconds of all workers' processor after which one of them is killed; None for no kill.

    Returns:
        ``seconds``; ``cpu_seconds`` of all processes, and of those named as workers each (``workers``);
        ``peak_gib``, the most memory of all together, shared pages once; ``status``, ``killed`` and ``out``.
    """
    start, busy, names = time.perf_counter(), dict[Any, float](), dict[Any, str]()
    peak, killed, last = 0, False, 0.0
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as job:
        while job.poll() is None:
            is_due = time.perf_counter() - last > SUM
            total, workers = 0, []
            for process in _family(job.pid):
                with suppress(psutil.Error, OSError, ValueError):
                    with process.oneshot():
                        times, key = process.cpu_times(), (process.pid, process.create_time())
                        busy[key] = times.user + times.system
                        name = " ".join(process.cmdline())
                    if WORKER.search(name):
                        names[key] = name
                        workers.append(key)
                    total += process.memory_full_info().pss if is_due else 0
            if is_due:
                peak, last = max(peak, total), time.perf_counter()
            is_half = kill is not None and sum(busy[key] for key in names) >= kill
            if is_half and workers and not killed:
                os.kill(max(workers, key=lambda key: busy[key])[0], signal.SIGKILL)
                killed = True
            time.sleep(LOOK)
        out = job.stdout.read() if job.stdout else ""
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": sum(busy.values()),
        "workers": sorted((busy[key] for key in names), reverse=True),
        "peak_gib": peak / 2**30,
        "status": job.returncode,
        "killed": killed,
        "out": out,
    }


def _family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []
