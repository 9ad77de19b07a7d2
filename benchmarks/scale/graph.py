"""A graph many times Amazon Beauty's: built, searched, asked for a hub, mapped from files."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import rate, say
from benchmarks.scale.memory import alone, anonymous_mib
from benchmarks.scale.synthetic import make, prompts
from lkgrag.config import PathsConfig
from lkgrag.config.loading import load_config
from lkgrag.data import Queries
from lkgrag.kg import build_kg
from lkgrag.paths import PathFinder, ShortestPaths
from lkgrag.utils.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

#: Prompts that are timed.
PROMPTS = 1024
#: Share of the items that the hub joins.
HUB = 0.3
#: Longest path of the second search, in edges.
LONGEST = 4
#: Elements of 4 bytes in a line of the processor's cache, and how many rows are read one after the other.
LINE, READS = 16, 1_000_000


def measure(scales: list[int], quick: bool, seed: int) -> dict[str, Any]:
    """Measure each scale in a process of its own, so that its peak memory is its own.

    Args:
        scales: number of communities of Beauty's size.
        quick: fewer prompts.
        seed: of data and prompts.

    Returns:
        ``scales`` by number: ``items``, ``edges``, seconds and GiB of the build, prompts a second, edges
        touched a prompt, and of the hub; and the values of targets.
    """
    found = {}
    for scale in scales:
        found[str(scale)] = alone(one, scale, quick, seed)
        row = found[str(scale)]
        say(
            f"graph x {scale}: {row['items']:,} items, {row['edges']:,} edges, built in "
            f"{row['build_seconds']:.1f} s with {row['peak_gib']:.1f} GiB; paths "
            f"{row['prompts_a_second']:,.0f} prompts a second, hub {row['hub_times_median']:.2f} x median"
        )
    whole = not quick and {"1", "100"} <= found.keys()
    return {"scales": found, "values": values_of(found) if whole else {}}


def values_of(found: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """The values of targets.

    In a graph of one community, all pairs are near, and the search for shortest paths stops early. It has to read
    on for the far pairs of larger graphs. So the growth of its time is compared with that of the edges touched,
    at the measured speed of memory.

    Args:
        found: of :func:`one`, at scales 1 and 100.
    """
    small, large = found["1"], found["100"]
    time = small["prompts_a_second_up_to_4"] / large["prompts_a_second_up_to_4"]
    edges = large["touched_up_to_4"] / small["touched_up_to_4"]
    memory = large["row_read_seconds"] / small["row_read_seconds"]
    return {
        "C1": large["peak_gib"],
        "C2_edges": large["touched"] / small["touched"],
        "C2_time": small["prompts_a_second"] / large["prompts_a_second"],
        "C2_four": 100 * time / (edges * memory),
        "C2_rate": large["prompts_a_second_up_to_4"],
        "C3": max(r["hub_times_median"] for r in found.values()),
    }


def one(scale: int, quick: bool, seed: int) -> dict[str, Any]:
    """Everything of one scale."""
    torch.set_num_threads(1)
    config = load_config({})
    made = make(scale, seed, HUB)
    x = made.interactions
    train_end = np.maximum(np.diff(x.indptr) - 2, 0)
    start = time.perf_counter()
    data = build_kg(x, train_end, config.kg)
    built = time.perf_counter() - start
    edges = sum(data[e].num_edges for e in data.edge_types if not e[1].startswith("rev_"))
    history, candidates = prompts(made, 64 if quick else PROMPTS, seed)
    out: dict[str, Any] = {
        "items": x.num_items,
        "users": x.num_users,
        "interactions": len(x),
        "edges": edges,
        "triples": len(x.triples),
        "build_seconds": built,
    }
    del made, x
    gc.collect()
    queries = asked(history, candidates)
    with tempfile.TemporaryDirectory() as folder:
        out |= _paths(data, queries, Path(folder), quick)
    out |= _longer(data, history, candidates, quick)
    return out


def asked(history: NDArray[np.int64], candidates: NDArray[np.int64]) -> Queries:
    """Prompts without anything but items."""
    histories = [row[row >= 0] for row in history]
    return Queries.from_histories(
        histories, candidates, np.zeros(candidates.shape, np.float32), history.shape[1]
    )


def _paths(data: HeteroData, queries: Queries, folder: Path, quick: bool) -> dict[str, Any]:
    """The ranker's own paths: in memory, with and without the hub, and from mapped files."""
    seconds = 0.3 if quick else 2.0
    plain = PathsConfig(exclude=["has_theme"])
    start = time.perf_counter()
    finder = PathFinder(data, plain)
    out: dict[str, Any] = {"index_seconds": time.perf_counter() - start}
    batches = [queries[slice(s, s + 8)] for s in range(0, len(queries), 8)]
    out["prompts_a_second"] = rate(lambda: [finder(b) for b in batches], len(queries), seconds)
    out["paths_a_prompt"] = sum(len(finder(b)) for b in batches) / len(queries)
    out["touched"] = touched(finder, queries)
    hub = PathFinder(data, PathsConfig())
    without, within = (_each(f, queries[slice(0, 256)]) for f in (finder, hub))
    # The dearest prompt with the hub, against the median prompt of the graph without it.
    out["hub_times_median"] = float(within.max() / np.median(without))
    out["longest_times_median"] = float(without.max() / np.median(without))
    out["hub_times_itself"] = float(np.median(within / without))
    del hub
    start = time.perf_counter()
    PathFinder(data, plain, folder)
    out["map_seconds"] = time.perf_counter() - start
    out["map_gib"] = sum(p.stat().st_size for p in folder.glob("*.npy")) / 2**30
    before = anonymous_mib()
    mapped = PathFinder.open(folder)
    out["mapped_prompts_a_second"] = rate(
        lambda: [mapped(b) for b in batches], len(queries), seconds
    )
    out["mapped_anonymous_mib"] = max(0.0, anonymous_mib() - before)
    return out


def _each(finder: PathFinder, queries: Queries) -> NDArray[np.float64]:
    """Seconds of each prompt alone, the best of several, since a system interrupts some."""
    out = np.full(len(queries), np.inf)
    for _ in range(7):
        for row in range(len(queries)):
            part = queries[slice(row, row + 1)]
            start = time.perf_counter()
            finder(part)
            out[row] = min(out[row], time.perf_counter() - start)
    return out


def touched(finder: PathFinder, queries: Queries) -> float:
    """Edges that a prompt's rows have: what a search reads at most."""
    t = finder._short.tables
    out = 0
    for items, pointers in (
        (queries.history_items, [t.out_ptr, *t.edge_ptr]),
        (queries.candidate_items, [t.in_ptr]),
    ):
        flat = items[items >= 0]
        out += sum(int((p[flat + 1] - p[flat]).sum()) for p in pointers)
    return out / len(queries)


def _longer(
    data: HeteroData, history: NDArray, candidates: NDArray, quick: bool
) -> dict[str, float]:
    """Shortest paths of up to four edges, without the hub."""
    number = 32 if quick else 256
    start = time.perf_counter()
    finder = ShortestPaths(data, PathsConfig(exclude=["has_theme"]), longest=LONGEST)
    took = time.perf_counter() - start
    speed = rate(
        lambda: finder.find(history[:number], candidates[:number]), number, 0.3 if quick else 2.0
    )
    return {
        "index_seconds_up_to_4": took,
        "prompts_a_second_up_to_4": speed,
        "touched_up_to_4": finder.touched / number,
        "row_read_seconds": row_read_seconds(finder._tables[0].node.nbytes),
    }


def row_read_seconds(size: int) -> float:
    """Seconds until the first element of some row is there, in a table of that many bytes.

    Each read tells where the next one is, and all are in different lines of the processor's cache.
    """
    lines = max(size // (4 * LINE), 2)
    order = np.random.default_rng(0).permutation(lines).astype(np.int32) * LINE
    table = np.zeros(lines * LINE, np.int32)
    table[order] = np.roll(order, -1)
    return 1 / rate(lambda: _follow(table, READS), READS, 0.3)


@compiled(nogil=True)
def _follow(table, steps):  # type: ignore[no-untyped-def]
    place = 0
    for _ in range(steps):
        place = table[place]
    return place
