"""Rankings without a language model, warm and in bulk, and how soon a saved ranker answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import rate, say
from lkgrag import Ranker
from lkgrag.cli.command import prepare_environment
from lkgrag.errors import LkgragError
from lkgrag.serving.shards import BulkRequest, write_shard
from lkgrag.utils.layout import META, RANKER

#: Data sets, and the presets of those that are not fetched.
SETS = {"ml-100k": None, "amazon-beauty": "amazon-beauty"}
#: Options of the rankers: how well they rank does not matter here, so that they are trained in minutes.
OPTIONS = ("llm.name=none", "retrieval.epochs=1", "scorer.pretrain_epochs=1", "threads=1")
#: Users whose histories are ranked one by one, and in bulk; other rankings that warm up.
USERS, MANY, WARM = 300, 2048, 50
#: Passes over the users, of which the fastest counts: another program may have disturbed the others.
PASSES = 3
#: Processes that import the package.
IMPORTS = 5
#: Prints the seconds of one statement in a new process.
TIMED = """
import sys, time
start = time.perf_counter()
exec(sys.argv[1])
print(time.perf_counter() - start)
"""


def find_rankers(roots: dict[str, str], folder: Path, quick: bool) -> dict[str, Path]:
    """Find the rankers in a folder, and train those that are missing.

    Args:
        roots: folder of each data set's files, where it is not fetched; other data sets are left out.
        folder: of the runs, one of each data set.
        quick: train none; data sets without a ranker are left out.

    Returns:
        The finished runs by data set.

    Raises:
        LkgragError: a run failed.
    """
    runs = {}
    for name, preset in SETS.items():
        if preset is not None and name not in roots:
            say(f"serving: {name} is not at hand; left out")
            continue
        run = folder / name
        if not (run / RANKER / META).exists():
            if quick:
                say(f"serving: no ranker in {run}; left out")
                continue
            say(f"serving: train a ranker on {name}")
            data = [] if preset is None else [f"preset={preset}", f"data.root={roots[name]}"]
            line = [sys.executable, "-m", "lkgrag.train", *data, *OPTIONS, f"out={run}"]
            done = subprocess.run(
                line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            if done.returncode:
                told = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                raise LkgragError(f"{name}: no ranker was trained: {told[-1]}")
        runs[name] = run
    return runs


def measure(runs: dict[str, Path], quick: bool) -> dict[str, Any]:
    """Measure saved rankers, each in a process of its own with one thread.

    Args:
        runs: finished runs without a language model, by data set.
        quick: few users, one pass.

    Returns:
        Seconds of imports in new processes: ``import_package``, ``import_ranker`` and ``import_torch``, with
        PyG; by data set in ``sets`` the figures of :func:`measure_one`, and ``cold``, seconds from nothing to
        a loaded ranker; and the values of targets.

    Raises:
        LkgragError: a ranker cannot be loaded.
    """
    sets = {}
    for name, run in runs.items():
        say(f"serving: {name}")
        line = [sys.executable, "-m", "benchmarks.speed.serving", str(run), *["--quick"] * quick]
        done = subprocess.run(line, capture_output=True, text=True, env=_one_thread())
        if done.returncode:
            told = done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"]
            raise LkgragError(f"{run}: {told[-1]}")
        load = f"from lkgrag import Ranker; Ranker.from_pretrained({str(run)!r}, 'cpu')"
        sets[name] = {"cold": seconds_of(load, 1 if quick else 2), **json.loads(done.stdout)}
    say("serving: imports")
    repeats = 1 if quick else IMPORTS
    result = {
        "import_package": seconds_of("import lkgrag", repeats),
        "import_ranker": seconds_of("from lkgrag import Ranker", repeats),
        "import_torch": seconds_of("import torch, torch_geometric", 1 if quick else 2),
        "sets": sets,
    }
    return {**result, "values": values_of(result)}


def values_of(result: dict[str, Any]) -> dict[str, float]:
    """The values of the targets, of the data sets that were measured."""
    sets = result["sets"]
    values = {"S13_import": result["import_package"]}
    if sets:
        values["S13_load"] = max(one["load"] for one in sets.values())
    if "ml-100k" in sets:
        one = sets["ml-100k"]
        values |= {"S12_p50": one["p50_ms"], "S12_p99": one["p99_ms"]}
        values["S12_bulk"] = one["users_a_second"]
        if "amazon-beauty" in sets:
            values["S12_beauty"] = sets["amazon-beauty"]["p50_ms"] / one["p50_ms"]
    return values


def seconds_of(statement: str, repeats: int) -> float:
    """Seconds of a statement in a new process, of the fastest of some."""
    line = [sys.executable, "-c", TIMED, statement]
    runs = (
        subprocess.run(line, check=True, capture_output=True, text=True) for _ in range(repeats)
    )
    return min(float(run.stdout) for run in runs)


def _one_thread() -> dict[str, str]:
    """The environment of a process that computes on one core."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure_one(run: Path, quick: bool) -> dict[str, float]:
    """Measure one ranker in this process.

    Args:
        run: a finished run without a language model.
        quick: few users, one pass.

    Returns:
        ``load``, seconds to load it where all imports are done; ``first``, seconds of the first ranking;
        ``p50_ms`` and ``p99_ms`` of a warm explained ranking; ``users_a_second`` in bulk, explained and
        written as Parquet; ``history``, items of the median user.

    Raises:
        LkgragError: the ranker cannot be loaded.
    """
    torch.set_num_threads(1)
    ranker = Ranker.from_pretrained(run, "cpu", lm="never")
    ids = ranker.context.catalogue.ids
    count = min(20 if quick else USERS, len(ranker.context.users))
    rows = ranker.context.users.rows(0, count)
    histories = [[ids[item] for item in items] for _, (items, _) in rows]
    start = time.perf_counter()
    ranker.recommend(histories[0], k=10, explain=True)
    first = time.perf_counter() - start
    load = 1 / rate(lambda: Ranker.from_pretrained(run, "cpu"), 1, 0, 1 if quick else PASSES)
    for history in histories[:WARM]:
        ranker.recommend(history, k=10, explain=True)
    passes = [_milliseconds(ranker, histories) for _ in range(1 if quick else PASSES)]
    best = min(passes, key=np.median)
    return {
        "load": load,
        "first": first,
        "p50_ms": float(np.median(best)),
        "p99_ms": float(np.quantile(best, 0.99)),
        "users_a_second": _bulk(ranker, 64 if quick else MANY, 1 if quick else PASSES),
        "history": float(np.median([len(history) for history in histories])),
    }


def _milliseconds(ranker: Ranker, histories: list[list[str]]) -> list[float]:
    """Milliseconds of each explained ranking, one after the other."""
    times = []
    for history in histories:
        start = time.perf_counter()
        ranker.recommend(history, k=10, explain=True)
        times.append(1000 * (time.perf_counter() - start))
    return times


def _bulk(ranker: Ranker, most: int, repeats: int) -> float:
    """Users a second of ``lkgrag.recommend users=all``: explained, and written as shards of 256 users."""
    count = min(most, len(ranker.context.users))
    request = BulkRequest(k=10)
    starts = range(0, count, request.users_per_shard)
    with tempfile.TemporaryDirectory() as folder:

        def work() -> None:
            for start in starts:
                users = range(start, min(start + request.users_per_shard, count))
                write_shard(ranker, Path(folder) / "part.parquet", users, request)

        return rate(work, count, 0, repeats)


def main(arguments: list[str]) -> int:
    """Measure one ranker and print the figures as JSON: ``python -m benchmarks.speed.serving RUN [--quick]``."""
    prepare_environment()
    try:
        print(json.dumps(measure_one(Path(arguments[0]), "--quick" in arguments)))
    except LkgragError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
