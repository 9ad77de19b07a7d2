"""Counting on a cluster: which engine was chosen and why, and what one and two workers take.

All processes of a command count. Beside other programs, seconds of the processor say more than those of the clock.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import say
from benchmarks.engines.cluster_choice import ENGINES
from benchmarks.engines.counting import SIZES
from benchmarks.engines.events import communities, write_events
from benchmarks.engines.meter import metered
from benchmarks.scale.memory import alone
from lkgrag.run.provenance import today

#: Names an interpreter with pyspark, which no extra installs: python -m venv V && V/bin/pip install pyspark pyarrow numpy
SPARK = "LKGRAG_SPARK_PYTHON"
MEMORY = "1GB"
#: Names of the rows of counting, with the number of workers.
ROWS = {"alone": 0, "one": 1, "two": 2, "killed": 2}


def measure(
    sizes: list[str], root: Path, seed: int, before: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Measure what is not stored yet.

    Args:
        sizes: names of :data:`~benchmarks.engines.counting.SIZES`.
        root: folder of the files.
        seed: of the interactions.
        before: the stored result.

    Yields:
        The result, whenever a row is done: ``choice`` by size and engine, and ``counting`` by size and row.
    """
    found: dict[str, Any] = {"choice": {}, "counting": {}, **before}
    for size in sizes:
        events = (root / "cluster" / size / "events.parquet").absolute()
        if not events.exists():
            say(f"make {SIZES[size]:,} interactions")
            alone(_make, communities(SIZES[size]), str(events), seed)
        rows = found["counting"].setdefault(size, {})
        for name, workers in ROWS.items():
            if name not in rows:
                # When half of the work is done that was measured before.
                kill = 0.5 * sum(rows["two"]["workers"]) if name == "killed" else None
                rows[name] = _count(events, workers, kill)
                if rows[name]["sum"] != rows["alone"]["sum"]:
                    raise SystemExit(f"cluster {size}: {name} wrote other tables than one process")
                _say(f"cluster {size}: {name}", rows[name])
                yield found
        choice = found["choice"].setdefault(size, {})
        for engine in ENGINES:
            for name in (engine, f"{engine}, killed"):
                if name not in choice:
                    kill = 0.5 * sum(choice[engine]["workers"]) if name != engine else None
                    row = _choose(engine, events, kill)
                    if row is not None:
                        choice[name] = row
                        _say(f"choice {size}: {name}", row)
                        yield found
    yield found


def _say(what: str, row: dict[str, Any]) -> None:
    say(
        f"{what}: {row['seconds']:.0f} s, {row['cpu_seconds']:.0f} s of the processor, peak "
        f"{row['peak_gib']:.2f} GiB"
    )


def _make(scale: int, path: str, seed: int) -> dict[str, Any]:
    return {"interactions": write_events(scale, Path(path), seed)}


def _choose(engine: str, events: Path, kill: float | None) -> dict[str, Any] | None:
    """Run an engine's query; None where it is not installed."""
    python = os.environ.get(SPARK) if engine == "spark" else sys.executable
    if python is None:
        say(f"choice: {engine} is left out; {SPARK} names an interpreter with pyspark")
        return None
    out = events.with_name("choice")
    line = [python, "-m", "benchmarks.engines.cluster_choice", engine, str(events), str(out)]
    row = metered(line, dict(os.environ), kill)
    shutil.rmtree(out, ignore_errors=True)
    text = row.pop("out").strip()
    # An engine may be lost with its worker, which is a result, too.
    row["sum"] = json.loads(text.splitlines()[-1])["sum"] if row["status"] == 0 and text else None
    return {**row, "date": today(), "load": os.getloadavg()[0]}


def _count(events: Path, workers: int, kill: float | None) -> dict[str, Any]:
    """Count by workers of a cluster, or by one process."""
    out = events.with_name("counted")
    shutil.rmtree(out, ignore_errors=True)
    words = [f"data.root={events}", "data.name=events", f"out={out}", f"engine.memory={MEMORY}"]
    words += ["threads=1", *(["engine=ray", f"workers={workers}"] if workers else [])]
    row = metered([sys.executable, "-m", "lkgrag.count", *words], dict(os.environ), kill)
    if row["status"]:
        raise SystemExit(f"cluster: the command fails: {' '.join(words)}")
    row.pop("out")
    row["sum"] = sum_of(out)
    shutil.rmtree(out)
    return {**row, "date": today(), "load": os.getloadavg()[0]}


def sum_of(folder: Path) -> str:
    """SHA-256 of all values of all tables, however they are cut into parts, and of the mapped files."""
    total = hashlib.sha256()
    folders = {path.parent for path in folder.rglob("part-*.parquet")}
    for place in sorted(folders):
        total.update(str(place.relative_to(folder)).encode())
        columns: dict[str, Any] = {}
        for path in sorted(place.glob("part-*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches():
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    sums = columns.setdefault(name, hashlib.sha256())
                    values = pa.array(column).to_numpy(zero_copy_only=False)
                    sums.update(values.astype(values.dtype.str).tobytes())
        for name, sums in sorted(columns.items()):
            total.update(f"{name} {sums.hexdigest()}".encode())
    files = [*folder.glob("paths/*.npy"), folder / "users.parquet", folder / "items.parquet"]
    for path in sorted(files):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def counting_table(found: dict[str, Any]) -> str:
    """What one process, one worker and two take."""
    words = {
        "alone": "one process",
        "one": "one worker",
        "two": "two workers",
        "killed": "two workers, one killed",
    }
    lines = [
        "| interactions read | by | seconds of the processor | of the busiest worker | seconds | load | peak memory, GiB | same tables |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for size, rows in found["counting"].items():
        for name, row in rows.items():
            most = f"{row['workers'][0]:.0f}" if row["workers"] else ""
            same = "yes" if row["sum"] == rows["alone"]["sum"] else "no"
            lines.append(
                f"| {size} | {words[name]} | {row['cpu_seconds']:.0f} | {most} | {row['seconds']:.0f} | "
                f"{row['load']:.1f} | {row['peak_gib']:.1f} | {same} |"
            )
    return "\n".join(lines)


def choice_table(found: dict[str, Any]) -> str:
    """What each engine takes for one query."""
    words = {
        "ray_tasks": "tasks of Ray, DuckDB in each",
        "ray_data": "Ray Data",
        "spark": "Spark SQL",
    }
    lines = [
        "| interactions | engine | seconds of the processor | seconds | load | peak memory, GiB | a worker killed |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for size, rows in found["choice"].items():
        for engine, text in words.items():
            if engine not in rows:
                continue
            row, killed = rows[engine], rows.get(f"{engine}, killed")
            said = "" if killed is None else "same result"
            if killed is not None and killed["sum"] != row["sum"]:
                said = "query lost" if killed["sum"] is None else "another result"
            lines.append(
                f"| {size} | {text} | {row['cpu_seconds']:.0f} | {row['seconds']:.0f} | {row['load']:.1f} | "
                f"{row['peak_gib']:.1f} | {said} |"
            )
    return "\n".join(lines)
