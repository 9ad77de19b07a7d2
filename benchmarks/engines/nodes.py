"""LRURec trained by two processes of one thread beside one process of one thread: examples a second, and the loss.

An example is a label: an item that a step predicts. The processes are of this machine, so what they send passes no network.
Beside other work the clock says little; so the processor's time of the slower process is compared, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

from benchmarks.common import ROOT, say
from lkgrag.config import DataConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.data.dataset import Dataset
from lkgrag.retrieval.base import sequences_of
from lkgrag.retrieval.lrurec.options import LRURecOptions
from lkgrag.retrieval.lrurec.training import Training, batches
from lkgrag.run.provenance import today
from lkgrag.testing import planted
from lkgrag.utils.group import Group

PROCESSES = (1, 2)
#: Windows a batch: the default, and larger ones.
BATCHES = (24, 96, 384)
#: Labels that are trained on before the clock starts, and while it runs; each figure is the best of so many turns.
WARM, TIMED, TURNS = 500, 8_000, 2


def measure(roots: dict[str, str], seed: int, is_quick: bool) -> dict[str, Any]:
    """Train for some steps by one and by two processes, in turns.

    Args:
        roots: folders of the data, by name.
        seed: of weights and batches.
        is_quick: few steps on made data.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lkgrag-nodes-") as name:
        folder, timed = Path(name), 500 if is_quick else TIMED
        items = _write_sequences(None if is_quick else roots["amazon-beauty"], folder)
        sizes = BATCHES[:1] if is_quick else BATCHES
        found = {}
        for processes in PROCESSES:
            say(f"nodes: {processes} processes")
            found[processes] = _train_together(folder, processes, items, sizes, seed, timed)
        for size, *both in zip(sizes, *(found[p] for p in PROCESSES), strict=True):
            one, two = both
            rows.append(
                {
                    "batch": size,
                    "labels_a_step": one["labels_a_step"],
                    "labels_a_second": {
                        str(p): f["labels_a_second"] for p, f in zip(PROCESSES, both, strict=True)
                    },
                    "ratio": two["labels_a_second"] / one["labels_a_second"],
                    "cpu_ratio": one["cpu_seconds"] / two["cpu_seconds"],
                    "losses_apart": float(np.abs(np.subtract(one["losses"], two["losses"])).max()),
                    "load": max(one["load"], two["load"]),
                    "send_ms": two["send_ms"],
                }
            )
    return {"date": today(), "data": "amazon-beauty", "items": items, "rows": rows}


def _write_sequences(root: str | None, folder: Path) -> int:
    """Write the training items of each user; the number of items."""
    if root is None:
        interactions = planted(60, 40)
        split = make_split(interactions, DataConfig())
    else:
        config = DataConfig(name="amazon-beauty", root=root, untitled="drop")
        dataset = Dataset.load(config)
        interactions, split = dataset.interactions, dataset.split
    sequences = sequences_of(interactions.first(split.train_end))
    ends = np.cumsum([len(s) for s in sequences])
    np.savez(folder / "sequences.npz", items=np.concatenate(sequences), ends=ends)
    return interactions.num_items


def _train_together(
    folder: Path, processes: int, items: int, sizes: tuple[int, ...], seed: int, timed: int
) -> list[dict[str, Any]]:
    """Start processes that train together; what the first one found, by size of a batch."""
    order = {"folder": str(folder), "items": items, "sizes": sizes, "seed": seed, "timed": timed}
    line = [sys.executable, "-m", "benchmarks.engines.nodes", json.dumps(order)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    shared = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(processes)}
    meeting = str(folder / f"meeting-{time.monotonic_ns()}")
    started = [
        subprocess.Popen(
            line,
            env={**os.environ, **shared, "RANK": str(rank), "MEETING": meeting},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process failed; see above")
    found: list[dict[str, Any]] = json.loads(outputs[0])
    return found


def _work(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Train for some steps as one of the processes, with the clock on, for each size of a batch."""
    torch.set_num_threads(1)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size > 1:
        method = f"file://{os.environ['MEETING']}"
        distributed.init_process_group("gloo", init_method=method, rank=rank, world_size=size)
    group = Group.of(torch.device("cpu"))
    stored = np.load(Path(order["folder"]) / "sequences.npz")
    sequences = np.split(stored["items"], stored["ends"][:-1])
    options = LRURecOptions.of(RetrievalConfig())
    training = Training(sequences, order["items"], options, order["seed"], group.device, group)
    training.model.train()
    sent = torch.zeros(sum(p.numel() for p in training.model.parameters()))
    return [
        _time_steps(training, replace(options, batch_size=b), order, sent) for b in order["sizes"]
    ]


def _time_steps(
    training: Training, options: LRURecOptions, order: dict[str, Any], sent: torch.Tensor
) -> dict[str, Any]:
    """Time steps of one size of a batch, and a message of the size of all gradients; the better of some turns."""
    group = training.group
    best: dict[str, Any] = {}
    for turn in range(TURNS):
        torch.manual_seed(order["seed"] + turn)
        rng = np.random.default_rng(order["seed"] + turn)
        composed = batches(training.sequences, options, rng)
        _steps(training, composed, WARM)
        group.sum(torch.zeros(1))
        start, used = time.perf_counter(), time.process_time()
        losses, labels = _steps(training, composed, order["timed"])
        seconds, used = time.perf_counter() - start, time.process_time() - used
        longest = max(group.gather(used))
        start = time.perf_counter()
        for _ in range(10):
            group.sum(sent)
        found = {
            "labels_a_second": labels / seconds,
            "labels_a_step": labels / len(losses),
            "cpu_seconds": longest,
            "losses": [*best.get("losses", []), *losses],
            "load": os.getloadavg()[0],
            "send_ms": (time.perf_counter() - start) / 10 * 1e3,
        }
        for name, better in (("labels_a_second", max), ("cpu_seconds", min), ("send_ms", min)):
            found[name] = better(found[name], best.get(name, found[name]))
        best = found
    return best


def _steps(training: Training, composed: Any, labels: int) -> tuple[list[float], int]:
    """Take steps until so many labels are done; their losses, and the labels."""
    losses, done = [], 0
    for batch in composed:
        loss, count = training._step(batch)
        losses.append(loss)
        done += count
        if done >= labels:
            break
    return losses, done


def table(found: dict[str, Any]) -> str:
    """The table of the docs."""
    lines = [
        "| windows a batch | labels a step | one process, labels a second | two | times | times, by processor time | "
        "losses apart, at most | load |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        one, two = (row["labels_a_second"][str(p)] for p in PROCESSES)
        lines.append(
            f"| {row['batch']} | {row['labels_a_step']:.0f} | {one:,.0f} | {two:,.0f} | {row['ratio']:.2f} | "
            f"{row['cpu_ratio']:.2f} | {row['losses_apart']:.1e} | {row['load']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(_work(json.loads(sys.argv[1]))))
