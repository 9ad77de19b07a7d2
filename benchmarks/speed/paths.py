"""Paths of a prompt, 20 x 20: lengths with a witness, and the ranker's own batches, on one core."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import rate, say
from benchmarks.speed.peers import LONGEST, PEERS
from lkgrag.config.loading import load_config
from lkgrag.data.splits import every_training_event
from lkgrag.errors import LkgragError
from lkgrag.kg import build_kg
from lkgrag.paths import PathFinder, ShortestPaths
from lkgrag.run.stages import load_dataset
from lkgrag.training.negatives import uniform_queries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data import Queries

#: Data sets, and the preset that reads each.
SETS = {"ml-100k": None, "ml-latest-small": "ml-latest-small", "amazon-beauty": "amazon-beauty"}
#: Prompts that ours is timed on.
PROMPTS = 1024


def bandwidth(megabytes: int = 256) -> float:
    """Bytes a second that one core reads and writes, by a large copy."""
    block = np.zeros(megabytes * 2**20 // 8)
    other = np.empty_like(block)
    return rate(lambda: np.copyto(other, block), 2 * block.nbytes, 1.0)


def measure(roots: dict[str, str], quick: bool, seed: int) -> dict[str, Any]:
    """Measure every data set that is at hand.

    Args:
        roots: folder of each data set's files, where it is not fetched.
        quick: fewer prompts, and no peer that takes minutes.
        seed: of the prompts.

    Returns:
        ``sets`` with rates (prompts a second) and ratios, ``bandwidth``, and the values of targets.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    speed = bandwidth(64 if quick else 256)
    sets: dict[str, Any] = {}
    for name, preset in SETS.items():
        if name != "ml-100k" and name not in roots:
            say(f"{name}: its files are not at hand (LKGRAG_DATA); left out")
            continue
        say(f"{name}: paths")
        sets[name] = _one(name, preset, roots.get(name), quick, seed, speed)
    torch.set_num_threads(threads)
    whole = len(sets) == len(SETS) and not quick

    def worst(path: tuple[str, ...]) -> float | None:
        values = [v for v in (_dig(s, path) for s in sets.values()) if v is not None]
        return min(values) if whole and len(values) == len(sets) else None

    targets = {
        "S1_shared": worst(("ours", "one shared entity")),
        "S1_four": worst(("ours", "up to 4")),
        "S2": worst(("ours", "PathBatch of the ranker")),
        "S3": worst(("ours", "any length")),
        "S4_igraph": worst(("times", "igraph")),
        "S4_cypher": worst(("times", "Cypher, a query a prompt")),
    }
    return {"bandwidth_bytes_a_second": speed, "sets": sets, "values": targets}


def _dig(value: Any, path: tuple[str, ...]) -> float | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _one(
    name: str, preset: str | None, root: str | None, quick: bool, seed: int, speed: float
) -> dict[str, Any]:
    options = {} if preset is None else {"preset": preset}
    if root is not None:
        options["data.root"] = root
    config = load_config(options)
    loaded = load_dataset(config)
    data = build_kg(loaded.interactions, loaded.split.train_end, config.kg)
    events = every_training_event(loaded.interactions, loaded.split.train_end)
    number = 128 if quick else PROMPTS
    chosen = np.random.default_rng(seed).permutation(len(events))[:number]
    queries = uniform_queries(loaded.interactions, events[chosen], 20, 20, seed)
    history, candidates = queries.history_items, queries.candidate_items
    seconds = 0.3 if quick else 2.0
    ours, floor = {}, {}
    for what, longest in (("one shared entity", 2), ("up to 4", LONGEST), ("any length", 0)):
        finder = ShortestPaths(data, longest=longest)
        ours[what] = rate(partial(finder.find, history, candidates), number, seconds)
        # Each edge that is looked at costs its target, and the bits there.
        touched = finder.touched / number
        floor[what] = speed / max(touched * (4 + 8), 1)
        say(f"  {what}: {ours[what]:,.0f} prompts a second, {touched:,.0f} edges a prompt")
    batches = [queries[slice(s, s + 8)] for s in range(0, number, 8)]
    ranker = PathFinder(data, config.paths)
    ours["PathBatch of the ranker"] = rate(lambda: [ranker(b) for b in batches], number, seconds)
    shortest = ShortestPaths(data)
    ours["shortest paths as PathBatch"] = rate(
        lambda: [shortest(b) for b in batches], number, seconds
    )
    say(f"  PathBatch: {ours['PathBatch of the ranker']:,.0f} prompts a second")
    peers, times = _peers(data, queries, ours["up to 4"], quick)
    return {
        "nodes": sum(int(data[t].num_nodes) for t in data.node_types if t != "user"),
        "edges": len(finder.source),
        "pairs_a_prompt": float(((history >= 0).sum(1) * (candidates >= 0).sum(1)).mean()),
        "ours": ours,
        "floor": floor,
        "peers": peers,
        "times": times,
    }


def _peers(
    data: Any, queries: Queries, own: float, quick: bool
) -> tuple[dict[str, float | None], dict[str, float | None]]:
    """Prompts a second of each peer, whose answers must be ours, and how many times ours is faster."""
    finder = ShortestPaths(data, longest=LONGEST)
    peers: dict[str, float | None] = {}
    for make in PEERS:
        number = min(make.prompts, 2) if quick else make.prompts
        if quick and make.prompts < 10:
            continue
        try:
            peer = make(finder)
        except ImportError as error:
            say(f"  {make.name}: {error.name} is not installed; left out")
            peers[make.name] = None
            continue
        took = 0.0
        for row in range(number):
            h, c = (
                np.unique(x[row][x[row] >= 0])
                for x in (queries.history_items, queries.candidate_items)
            )
            start = time.perf_counter()
            found = peer(h.tolist(), c.tolist())
            took += time.perf_counter() - start
            if found != lengths_of(finder, h, c):
                raise LkgragError(f"{make.name} and lkgrag differ on prompt {row}")
        peers[make.name] = number / took
        say(f"  {make.name}: {number / took:,.2f} prompts a second")
    return peers, {n: None if r is None else own / r for n, r in peers.items()}


def lengths_of(
    finder: ShortestPaths, history: NDArray[np.int64], candidates: NDArray[np.int64]
) -> dict[tuple[int, int], int]:
    """``{(history item, candidate): length}`` of one prompt."""
    found = finder.find(history[None], candidates[None])
    rows = zip(found.ends.tolist(), found.length.tolist(), strict=True)
    return {(int(history[h]), int(candidates[c])): n for (_, c, h), n in rows}
