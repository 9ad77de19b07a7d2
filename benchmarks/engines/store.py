"""Paths from the rows of a graph in a database, against mapped tables: memory of a process, and prompts a second.

The graph is that of :mod:`benchmarks.scale.synthetic`. Each reader is a process of its own that has neither the graph nor
the interactions. *Cold* is its first pass over the prompts, with nothing kept; *warm* is the second. Rates are of the
processor's time, as other programs slow the clock. All paths must equal those of the graph in memory.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import say
from benchmarks.scale.graph import asked
from benchmarks.scale.memory import alone
from benchmarks.scale.synthetic import make, prompts
from lkgrag.config import KGConfig, PathsConfig
from lkgrag.data import Queries
from lkgrag.errors import LkgragError
from lkgrag.kg import LadybugStore, build_kg, write_ladybug
from lkgrag.paths import Finder, PathBatch, PathFinder, StoreFinder
from lkgrag.run.provenance import today

#: Communities of Beauty's size, by the size's name.
SIZES = {"1x": 1, "10x": 10}
#: Prompts, those that are asked one at a time, and prompts a call.
PROMPTS, ALONE, STEP = 1024, 128, 64
#: Of the rows that are kept: the default, and too little for all prompts.
CACHE, SMALL = 256 << 20, 2 << 20
DATABASE, TABLES, ASKED = "graph.lbug", "tables", "prompts.npz"


def measure(
    sizes: list[str], root: Path, quick: bool, seed: int, before: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Measure sizes that are not stored yet.

    Args:
        sizes: names of :data:`SIZES`.
        root: folder of the files, which are deleted afterwards.
        quick: fewer prompts.
        seed: of data and prompts.
        before: the stored result by size.

    Yields:
        The result by size, whenever one is done.

    Raises:
        LkgragError: some paths differ from those in memory.
    """
    found = dict(before)
    for name in sizes:
        if name in found:
            say(f"store {name}: stored; delete it from the result to measure it again")
            continue
        folder = root / f"store-{name}"
        folder.mkdir(parents=True, exist_ok=True)
        row = alone(write, SIZES[name], str(folder), 256 if quick else PROMPTS, seed)
        row["peak_gib_to_write"] = row.pop("peak_gib")
        wanted = row.pop("sum")
        for kind in READERS:
            row[kind] = alone(read, kind, str(folder))
            if row[kind].pop("sum") != wanted:
                raise LkgragError(f"the paths of {kind} are not those of the graph in memory")
            say(
                f"store {name}, {kind}: {row[kind]['cold']:,.0f} prompts a second cold, {row[kind]['warm']:,.0f} warm, "
                f"peak {row[kind]['peak_gib']:.2f} GiB"
            )
        row["date"] = today()
        shutil.rmtree(folder)
        found[name] = row
        yield {name: found[name] for name in SIZES if name in found}


def write(scale: int, folder: str, number: int, seed: int) -> dict[str, Any]:
    """Write the database, the mapped tables and the prompts of a scale, and sum up the paths in memory."""
    torch.set_num_threads(1)
    made, root = make(scale, seed), Path(folder)
    x = made.interactions
    data = build_kg(x, np.maximum(np.diff(x.indptr) - 2, 0), KGConfig(users=False))
    start = time.process_time()
    edges = write_ladybug(data, root / DATABASE, x.item_ids, overwrite=True)
    took = time.process_time() - start
    finder = PathFinder(data, PathsConfig())
    PathFinder(data, PathsConfig(), root / TABLES)
    history, candidates = prompts(made, number, seed)
    np.savez(root / ASKED, history=history, candidates=candidates)
    batches, _ = _timed(finder, asked(history, candidates), STEP)
    return {
        "items": x.num_items,
        "edges": sum(edges.values()),
        "prompts": number,
        "paths_a_prompt": sum(len(b) for b in batches) / number,
        "write_seconds": took,
        "database_gib": (root / DATABASE).stat().st_size / 2**30,
        "tables_gib": sum(p.stat().st_size for p in (root / TABLES).iterdir()) / 2**30,
        "sum": _sum(batches),
    }


def _open_store(root: Path, cache: int) -> StoreFinder:
    return StoreFinder(LadybugStore(root / DATABASE), PathsConfig(), cache)


#: What is measured, and how it is opened.
READERS: dict[str, Callable[[Path], Finder]] = {
    "rows": lambda root: _open_store(root, CACHE),
    "rows_small_cache": lambda root: _open_store(root, SMALL),
    "mapped": lambda root: PathFinder.open(root / TABLES),
}


def read(kind: str, folder: str) -> dict[str, Any]:
    """Find the paths of all prompts twice, in this process, whose peak memory counts."""
    torch.set_num_threads(1)
    root = Path(folder)
    with np.load(root / ASKED) as stored:
        queries = asked(stored["history"], stored["candidates"])
    # Compiled functions are read from their cache before anything is timed.
    READERS["mapped"](root)(queries[slice(0, 1)])
    start = time.process_time()
    finder = READERS[kind](root)
    opened = time.process_time() - start
    batches, cold = _timed(finder, queries, STEP)
    total = _sum(batches)
    del batches
    warm = min(_timed(finder, queries, STEP)[1] for _ in range(3))
    few = queries[slice(0, ALONE)]
    out = {
        "sum": total,
        "open_seconds": opened,
        "cold": len(queries) / cold,
        "warm": len(queries) / warm,
        "ms_alone_cold": 1000 * _timed(READERS[kind](root), few, 1)[1] / len(few),
        "ms_alone_warm": 1000 * _timed(finder, few, 1)[1] / len(few),
    }
    if isinstance(finder, StoreFinder):
        cache = finder.cache
        out |= {"cache_mib": cache.taken / 2**20, "kept": len(cache)}
    return out


def _timed(finder: Finder, queries: Queries, step: int) -> tuple[list[PathBatch], float]:
    """The paths of all prompts, and seconds of the processor."""
    start = time.process_time()
    found = [finder(queries[slice(s, s + step)]) for s in range(0, len(queries), step)]
    return found, time.process_time() - start


def _sum(batches: list[PathBatch]) -> str:
    """A text that differs for other paths."""
    digest = hashlib.sha256()
    for batch in batches:
        for name in ("sample", "candidate", "history", "metapath", "nodes", "weight"):
            digest.update(np.ascontiguousarray(getattr(batch, name).numpy()).tobytes())
    return digest.hexdigest()


def values(found: dict[str, Any] | None) -> dict[str, float]:
    """The values of the targets, of a result."""
    row = (found or {}).get("10x")
    return {"C9_store": row["rows"]["peak_gib"]} if row else {}


def table(found: dict[str, Any]) -> str:
    """The table of the docs."""
    lines = [
        "| times Amazon Beauty | edges | paths from | prompts a second, cold | warm | one prompt, ms, cold | warm | rows kept, MiB | "
        "peak memory, GiB |",
        "|---:|---:|---|" + "---:|" * 6,
    ]
    words = {
        "rows": "rows of the database",
        "rows_small_cache": f"rows, cache of {SMALL >> 20} MiB",
        "mapped": "mapped tables",
    }
    for row in found.values():
        scale = f"{round(row['items'] / 12086)}"
        for kind, said in words.items():
            one = row[kind]
            kept = f"{one['cache_mib']:.1f}" if "cache_mib" in one else ""
            lines.append(
                f"| {scale} | {row['edges']:,} | {said} | {one['cold']:,.0f} | {one['warm']:,.0f} | {one['ms_alone_cold']:.2f} | "
                f"{one['ms_alone_warm']:.2f} | {kept} | {one['peak_gib']:.2f} |"
            )
    return "\n".join(lines)
