"""Rankings of everyone by workers of a Ray cluster: users a second of one and two workers, and equal files if one is killed.

The users of a run are repeated, so that their ranking takes longer than the start of a worker. Each worker has one thread.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.common import say
from lkgrag.run.provenance import today
from lkgrag.serving.saved_run import load_run
from lkgrag.serving.shard_crew import read_context, recommend_by_crew
from lkgrag.serving.shard_files import ShardPlan
from lkgrag.serving.shard_work import Crew
from lkgrag.serving.shards import BulkRequest, fingerprint
from lkgrag.serving.users import GROUP
from lkgrag.utils.layout import RANKER, USERS
from lkgrag.utils.sums import DONE

WORKERS = (1, 2)
#: How often the users are repeated, and users a shard.
COPIES, SHARD = 12, 128
K = 10
#: Share of the shards after which a worker is killed.
KILL = 0.4


def measure(run: Path, is_quick: bool) -> dict[str, Any]:
    """Rank by one and by two workers, and by two of which one is killed.

    Args:
        run: a finished run of ``lkgrag.train``.
        is_quick: with few users.
    """
    folder = load_run(str(run))[0] / RANKER
    with _repeated(folder, 1 if is_quick else COPIES) as (ranker, root):
        rows = [_rank(ranker, root / str(workers), workers) for workers in WORKERS]
        killed = _rank(ranker, root / "killed", WORKERS[-1], KILL)
        plan = ShardPlan(root, rows[0]["users"], SHARD)
        names = [plan.path(number).name for number in range(plan.count)]
        for row, place in ((rows[-1], str(WORKERS[-1])), (killed, "killed")):
            pairs = ((root / f"{WORKERS[0]}" / n, root / place / n) for n in names)
            row["equal_shards"] = sum(a.read_bytes() == b.read_bytes() for a, b in pairs)
    return {"date": today(), "shards": plan.count, "k": K, "rows": rows, "killed": killed}


def values(found: dict[str, Any] | None) -> dict[str, float | None]:
    """The values of the targets, of a result."""
    if not found:
        return {}
    one, two = (row["users_a_second"] for row in found["rows"])
    equal = min(found["killed"]["equal_shards"], found["rows"][-1]["equal_shards"])
    return {"C7": two / one, "C8": 100 * equal / found["shards"]}


@contextmanager
def _repeated(folder: Path, copies: int) -> Iterator[tuple[Path, Path]]:
    """A copy of a ranker with its users repeated, and a folder for rankings; both are deleted."""
    with tempfile.TemporaryDirectory(prefix="lkgrag-bulk-") as name:
        ranker = Path(name, RANKER)
        shutil.copytree(folder, ranker)
        # The sums would refuse the changed file.
        (ranker / DONE).unlink(missing_ok=True)
        table = pq.read_table(ranker / USERS)
        place, parts = table.column_names.index("user"), []
        for copy in range(copies):
            ids = pc.binary_join_element_wise(table["user"].cast(pa.string()), f"-{copy}", "")
            parts.append(table.set_column(place, "user", ids))
        pq.write_table(pa.concat_tables(parts), ranker / USERS, row_group_size=GROUP)
        yield ranker, Path(name)


def _rank(ranker: Path, out: Path, workers: int, kill: float | None = None) -> dict[str, Any]:
    """Rank everyone.

    Args:
        ranker: its folder.
        out: folder of the shards.
        workers: how many.
        kill: share of the shards after which a worker is killed; None for no kill.

    Returns:
        Users, seconds with the start, seconds until all workers had loaded the ranker, users a second from there on,
        and the number of workers that were started.
    """
    say(f"bulk: {workers} workers{'' if kill is None else ', one of which is killed'}")
    living: list[int] = []
    loaded: list[float] = []
    done_at: list[tuple[float, int]] = []
    has_killed = False

    def progress(done: int, total: int) -> None:
        nonlocal has_killed
        done_at.append((time.perf_counter(), done))
        if kill is not None and not has_killed and done >= kill * total and len(living) == workers:
            has_killed = True
            os.kill(living[0], signal.SIGKILL)

    crew = Crew(
        ranker,
        "never",
        workers,
        enlisted=lambda node, process: living.append(process),
        loaded=lambda: loaded.append(time.perf_counter()),
    )
    start = time.perf_counter()
    context = read_context(ranker, "never")
    request = BulkRequest(k=K, users_per_shard=SHARD, made_from={"ranker": fingerprint(ranker)})
    recommend_by_crew(context, out, request, crew, progress)
    seconds = time.perf_counter() - start
    # From the first shard that is done when all workers work, to the last one.
    ready = max(loaded[:workers])
    first, last = next(x for x in done_at if x[0] > ready and x[1]), done_at[-1]
    users = len(context.users)
    return {
        "workers": workers,
        "users": users,
        "seconds": seconds,
        "seconds_to_start": ready - start,
        "users_a_second": (users - first[1] * SHARD) / (last[0] - first[0]),
        "users_a_second_with_start": users / seconds,
        "workers_started": len(living),
    }


def table(found: dict[str, Any]) -> str:
    """The table of the docs."""
    lines = [
        "| workers | users a second | with the start | seconds to start | shards equal to one worker's |",
        "|---|---:|---:|---:|---:|",
    ]
    named = [(str(row["workers"]), row) for row in found["rows"]]
    for name, row in [*named, (f"{WORKERS[-1]}, one killed", found["killed"])]:
        equal = f"{row['equal_shards']} of {found['shards']}" if "equal_shards" in row else ""
        # Whoever is killed makes the rest slower: no rate of a steady state.
        rate = f"{row['users_a_second']:,.0f}" if name.isdecimal() else ""
        lines.append(
            f"| {name} | {rate} | {row['users_a_second_with_start']:,.0f} | {row['seconds_to_start']:.0f} | {equal} |"
        )
    return "\n".join(lines)
