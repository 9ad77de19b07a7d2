"""Interactions counted within 8 GB: seconds, memory and disk from 1 million to 500 million, and where arrays are faster.

Each size is stored as soon as it is done, and one that was stopped goes on. Sizes that are not measured are calculated
from the slope of those that are.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import say
from benchmarks.engines.events import communities, write_events
from benchmarks.scale.memory import alone, peak_gib
from benchmarks.scale.synthetic import make
from lkgrag.config import Config, DataConfig, EngineConfig, KGConfig
from lkgrag.data.large import make_store, split_store
from lkgrag.errors import LkgragError
from lkgrag.kg.base import Training
from lkgrag.kg.large.making import histories_of, make_graph
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.followed_by import FollowedBy
from lkgrag.kg.sources.making import make_edges
from lkgrag.paths.large import map_paths
from lkgrag.retrieval.large import write_itemitem
from lkgrag.utils.duck import open_duck
from lkgrag.utils.files import read_json, write_json

#: Interactions by the name of a size.
SIZES = {"1M": 10**6, "10M": 10**7, "100M": 10**8, "500M": 5 * 10**8}
LIMIT = "8GB"
#: Bytes of the disk that an interaction takes at most, with what is between the steps, and bytes that stay free.
DISK, FREE = 60, 20 * 10**9
#: Communities at which both engines count the same arrays.
SCALES = (1, 5, 25)
STEPS = ("sequences", "split", "graph", "itemitem", "paths")


def measure(
    sizes: list[str], root: Path, threads: int, seed: int, before: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Measure sizes that are not stored yet.

    Args:
        sizes: names of :data:`SIZES`.
        root: folder of the files.
        threads: of the database.
        seed: of the interactions.
        before: the stored result by size.

    Yields:
        The result by size, whenever one is done.
    """
    found = {name: row for name, row in before.items() if not row.get("calculated")}
    for name in sizes:
        if name in found:
            say(f"counting {name}: stored; delete it from the result to measure it again")
            continue
        need = SIZES[name] * DISK + FREE
        root.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(root).free < need:
            say(f"counting {name}: needs {need / 1e9:.0f} GB of free disk at {root}; left out")
            continue
        events = root / name / "events.parquet"
        if not events.exists():
            say(f"make {SIZES[name]:,} interactions")
            alone(_make, communities(SIZES[name]), str(events), seed)
        found[name] = alone(count, str(root / name), threads)
        shutil.rmtree(root / name)
        row = found[name]
        say(
            f"counting {name}: {row['seconds']:.0f} s, {row['cpu_seconds']:.0f} s of the processor, peak {row['peak_gib']:.2f} GiB of memory and "
            f"{row['disk_gib']:.1f} GiB of disk"
        )
        yield with_slope(found)
    yield with_slope(found)


def count(folder: str, threads: int) -> dict[str, Any]:
    """Count the interactions of a folder, in this process, whose peak memory counts."""
    torch.set_num_threads(1)
    root = Path(folder)
    events, out = root / "events.parquet", root / "counted"
    out.mkdir(exist_ok=True)
    taken = root / "seconds.json"
    # Of the clock, and of the processor: other programs slow the one but not the other. The last are GiB of memory and disk.
    seconds: dict[str, list[float]] = read_json(taken) if taken.exists() else {}
    config = DataConfig(root=str(events), name="events")
    engine = EngineConfig(name="duckdb", memory=LIMIT)
    kg = KGConfig()

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start, busy = time.perf_counter(), time.process_time()
        result = step()
        # A step that is there already takes no time worth to be kept.
        now = [time.perf_counter() - start, time.process_time() - busy, peak_gib(), disk[0] / 2**30]
        seconds.setdefault(name, now)
        write_json(taken, seconds)
        say(
            f"  {name}: {seconds[name][0]:.1f} s, {seconds[name][1]:.1f} s of the processor, "
            f"peak {seconds[name][2]:.2f} GiB so far"
        )
        return result

    with _disk(root) as disk, open_duck(engine, threads, beside=root) as duck:
        store = timed("sequences", lambda: make_store(duck, config, out))
        training = timed("split", lambda: split_store(duck, store, config))
        if "itemitem" not in seconds:
            histories = histories_of(duck, store, training)
            timed("itemitem", lambda: write_itemitem(duck, histories, out / "itemitem"))
        # Half of all files, which nothing here reads.
        shutil.rmtree(out / "itemitem", ignore_errors=True)
        graph = timed("graph", lambda: make_graph(duck, store, training, kg, out / "graph"))
        timed("paths", lambda: map_paths(duck, graph, out / "paths"))
    stats = store.meta["stats"]
    return {
        "interactions": stats["raw_interactions"],
        "kept": stats["interactions"],
        "users": stats["users"],
        "items": stats["items"],
        "edges": graph.sizes,
        "steps": {name: seconds[name][1] for name in STEPS},
        "cpu_seconds": sum(seconds[name][1] for name in STEPS),
        "seconds": sum(seconds[name][0] for name in STEPS),
        # Also of the processes that were stopped before.
        "peak_gib": max(took[2] for took in seconds.values()),
        "disk_gib": max(took[3] for took in seconds.values()),
        "threads": threads,
        "limit": LIMIT,
    }


def _make(scale: int, path: str, seed: int) -> dict[str, Any]:
    return {"interactions": write_events(scale, Path(path), seed)}


@contextmanager
def _disk(root: Path) -> Iterator[list[int]]:
    """The most bytes that a folder took, looked at every second."""
    most, stop = [0], threading.Event()

    def look() -> None:
        while True:
            total = 0
            for path in root.rglob("*"):
                try:
                    total += path.stat().st_size
                except OSError:
                    # Gone since it was listed.
                    continue
            most[0] = max(most[0], total)
            if stop.wait(1):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        stop.set()
        thread.join()


def with_slope(found: dict[str, Any]) -> dict[str, Any]:
    """Add the sizes that were not measured, by the slope between the two largest that were."""
    measured = sorted((row["interactions"], name) for name, row in found.items())
    out = dict(found)
    if len(measured) < 2:
        return out
    (small, _), (large, last) = measured[-2:]
    for name, number in SIZES.items():
        if name in out:
            continue
        row: dict[str, Any] = {"interactions": number, "calculated": True}
        for value in ("seconds", "cpu_seconds"):
            low, high = (found[n][value] for _, n in measured[-2:])
            slope = math.log(high / low) / math.log(large / small)
            row[value] = high * (number / large) ** slope
        # Files hold so many bytes an interaction, and small ones are gone before they are looked at.
        row["disk_gib"] = found[last]["disk_gib"] * number / large
        row["from"] = last
        out[name] = row
    return {name: out[name] for name in SIZES if name in out}


def peak_of(found: dict[str, Any]) -> float | None:
    """GiB of memory that the largest size took; None where it was not measured."""
    row = found.get(list(SIZES)[-1], {})
    return None if row.get("calculated", True) and "peak_gib" not in row else float(row["peak_gib"])


def crossover(seed: int, scales: tuple[int, ...] = SCALES) -> list[dict[str, Any]]:
    """Seconds of the processor and memory of both engines for the behaviour relations of arrays.

    Raises:
        LkgragError: their edges differ.
    """
    rows = []
    for scale in scales:
        row: dict[str, Any] = {"scale": scale}
        sums = set()
        for engine in ("memory", "duckdb"):
            found = alone(behaviour, scale, engine, seed)
            sums.add(found.pop("sum"))
            row["interactions"] = found.pop("interactions")
            row[engine] = found
        if len(sums) > 1:
            raise LkgragError(f"the engines count other edges at scale {scale}")
        say(
            f"behaviour of {row['interactions']:,} interactions: memory {row['memory']['cpu_seconds']:.1f} s and "
            f"{row['memory']['peak_gib']:.2f} GiB, duckdb {row['duckdb']['cpu_seconds']:.1f} s and "
            f"{row['duckdb']['peak_gib']:.2f} GiB"
        )
        rows.append(row)
    return rows


def behaviour(scale: int, engine: str, seed: int) -> dict[str, Any]:
    """Count ``followed_by`` and ``co_rated`` of arrays."""
    torch.set_num_threads(1)
    x = make(scale, seed).interactions
    training = Training.of(x, np.diff(x.indptr))
    options = replace(Config().engine, name=engine, memory=LIMIT)
    start, total = time.process_time(), []
    for source in (FollowedBy(), CoRated()):
        edges = make_edges(source, training, KGConfig(), options)
        assert edges.count is not None
        assert edges.weight is not None
        total += [len(edges), int(edges.index.sum()), int(edges.count.sum())]
        # The bits of the weights, as a sum of floats would hide a difference.
        total += [int(edges.weight.view(np.int32).astype(np.int64).sum())]
    return {
        "interactions": len(x),
        "cpu_seconds": time.process_time() - start,
        "sum": tuple(total),
    }
