"""The engine of a cluster, chosen by one query: Ray Data, Spark, and tasks of Ray with DuckDB in each.

The query: one interaction of each user and item, one round of the 5-core (users, then items), and in how many users'
histories each pair of items meets. Each engine has two workers with one core, each runs in a process of its own, and
all of its processes count. Half of the runs lose a worker in the middle.

Run by ``python -m benchmarks.engines.cluster_choice ENGINE EVENTS OUT`` in a fresh process, which needs no lkgrag, so that
an environment with pyspark alone can run Spark.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Least interactions of a user and of an item.
CORE = 5
#: Parts of users and of items.
PARTS = 8
#: Bytes of memory of a worker, where an engine wants to know.
MEMORY = 1024**3

#: SQL that DuckDB and Spark both read. Of equal rows the one of the highest time is taken.
ONCE = "select user, item, max(time) as time from {events} group by user, item"
MANY = "select * from {table} where {kind} in (select {kind} from {table} group by {kind} having count(*) >= {core})"
PAIRS = "select a.item as low, b.item as high from {kept} a join {kept} b on a.user = b.user and a.item < b.item"
GROUPS = "select low, high, count(*) as n from {pairs} group by low, high"
#: What all engines must agree on.
TOTAL = "select count(*), coalesce(sum(n), 0), coalesce(sum(n * ((low * 31 + high) % 65521)), 0) from {counts}"


def ray_tasks(events: Path, out: Path) -> tuple[int, ...]:
    """Tasks of Ray over parts of users, then of items, with DuckDB in each; files are passed, not tables."""
    import pyarrow.parquet as pq

    ray = _ray()
    divide, users, pairs, count = (
        ray.remote(num_cpus=1, max_retries=3)(work) for work in (_divide, _users, _pairs, _count)
    )
    rows = pq.read_metadata(events).num_rows
    pieces = [(rows * n // PARTS, rows * (n + 1) // PARTS) for n in range(PARTS)]
    ray.get([divide.remote(str(events), str(out), n, *piece) for n, piece in enumerate(pieces)])
    ray.get([users.remote(str(out), n) for n in range(PARTS)])
    ray.get([pairs.remote(str(out), n) for n in range(PARTS)])
    found = ray.get([count.remote(str(out), n) for n in range(PARTS)])
    ray.shutdown()
    return tuple(sum(row[n] for row in found) for n in range(3))


def _duck() -> Any:
    import duckdb

    return duckdb.connect(config={"threads": 1, "memory_limit": f"{MEMORY}B"})


def _parted(duck: Any, sql: str, key: str, folder: str, name: str) -> None:
    """Write a result by parts of a key, each file under a temporary name first."""
    duck.execute(
        f"create or replace temp table found as select *, {key} % {PARTS} as part from ({sql})"
    )
    for part in range(PARTS):
        path = Path(folder, f"{name}-{part}.parquet")
        duck.execute(
            f"copy (select * exclude part from found where part = {part}) to '{path}.{os.getpid()}' (format parquet)"
        )
        os.replace(f"{path}.{os.getpid()}", path)


def _divide(events: str, out: str, number: int, first: int, end: int) -> None:
    some = f"select user, item, time from read_parquet('{events}', file_row_number = true)"
    some += f" where file_row_number >= {first} and file_row_number < {end}"
    _parted(_duck(), some, "user", out, f"events-{number}")


def _users(out: str, part: int) -> None:
    """The users of a part that have enough, with the items' counts by parts of items."""
    duck = _duck()
    once = ONCE.format(events=f"read_parquet('{out}/events-*-{part}.parquet')")
    duck.execute(f"create temp table once as {once}")
    duck.execute("create temp table many as " + MANY.format(table="once", kind="user", core=CORE))
    duck.execute(f"copy many to '{out}/many-{part}.parquet.{os.getpid()}' (format parquet)")
    os.replace(f"{out}/many-{part}.parquet.{os.getpid()}", f"{out}/many-{part}.parquet")
    counts = "select item, count(*) as n from many group by item"
    duck.execute(f"copy ({counts}) to '{out}/items-{part}.parquet.{os.getpid()}' (format parquet)")
    os.replace(f"{out}/items-{part}.parquet.{os.getpid()}", f"{out}/items-{part}.parquet")


def _pairs(out: str, part: int) -> None:
    """The partial counts of the pairs of a part's users, by parts of items."""
    duck = _duck()
    enough = f"select item from read_parquet('{out}/items-*.parquet') group by item having sum(n) >= {CORE}"
    duck.execute(
        f"create temp table kept as select * from read_parquet('{out}/many-{part}.parquet') where item in ({enough})"
    )
    counts = GROUPS.format(pairs=f"({PAIRS.format(kept='kept')})")
    _parted(duck, counts, "low", out, f"pairs-{part}")


def _count(out: str, part: int) -> tuple[int, ...]:
    duck = _duck()
    counts = f"select low, high, sum(n)::bigint as n from read_parquet('{out}/pairs-*-{part}.parquet') group by low, high"
    path = f"{out}/counts-{part}.parquet"
    duck.execute(f"copy ({counts}) to '{path}' (format parquet)")
    return tuple(int(n) for n in duck.execute(TOTAL.format(counts=f"'{path}'")).fetchone())


def ray_data(events: Path, out: Path) -> tuple[int, ...]:
    """Ray Data: parts by hash, and whole parts as tables of Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ray = _ray()
    import ray.data as _  # noqa: F401

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False

    def once(table: pa.Table) -> pa.Table:
        table = table.group_by(["user", "item"]).aggregate([("time", "max")])
        return table.rename_columns(["user", "item", "time"])

    def enough(kind: str) -> Callable[[pa.Table], pa.Table]:
        def work(table: pa.Table) -> pa.Table:
            counts = table.group_by(kind).aggregate([([], "count_all")])
            there = counts.filter(pc.field("count_all") >= CORE)[kind]
            return table.filter(pc.is_in(table[kind], value_set=there.combine_chunks()))

        return work

    def pairs(table: pa.Table) -> pa.Table:
        two = table.select(["user", "item"])
        met = two.rename_columns(["user", "low"]).join(two.rename_columns(["user", "high"]), "user")
        met = met.filter(pc.field("low") < pc.field("high"))
        found = met.group_by(["low", "high"]).aggregate([([], "count_all")])
        return found.rename_columns(["low", "high", "n"])

    def count(table: pa.Table) -> pa.Table:
        found = table.group_by(["low", "high"]).aggregate([("n", "sum")])
        low, high, n = (found[name].to_numpy() for name in ("low", "high", "n_sum"))
        sums = [len(n), int(n.sum()), int((n * ((low * 31 + high) % 65521)).sum())]
        return pa.table({f"s{place}": [value] for place, value in enumerate(sums)})

    whole = {"batch_format": "pyarrow", "batch_size": None, "zero_copy_batch": True}
    data = ray.data.read_parquet(str(events), columns=["user", "item", "time"])
    data = data.repartition(PARTS, keys=["user"]).map_batches(once, **whole)
    data = data.map_batches(enough("user"), **whole)
    data = data.repartition(PARTS, keys=["item"]).map_batches(enough("item"), **whole)
    data = data.repartition(PARTS, keys=["user"]).map_batches(pairs, **whole)
    data = data.repartition(PARTS, keys=["low"]).map_batches(count, **whole)
    rows = data.take_all()
    ray.shutdown()
    return tuple(sum(row[f"s{place}"] for row in rows) for place in range(3))


def _ray() -> Any:
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS"):
        os.environ.setdefault(name, "0")
    import ray

    folder = tempfile.mkdtemp(prefix="lkgrag-ch-", dir="/tmp")
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        object_store_memory=MEMORY,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        _temp_dir=folder,
    )
    return ray


def spark(events: Path, out: Path) -> tuple[int, ...]:
    """Spark SQL with two executors, each in a process of its own."""
    import pyspark
    from pyspark.sql import SparkSession

    # Without it executors are not found.
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    session = (
        SparkSession.builder.master(f"local-cluster[2,1,{MEMORY // 2**20}]")
        .config("spark.driver.memory", "1g")
        .config("spark.executor.memory", f"{MEMORY // 2**20}m")
        .config("spark.sql.shuffle.partitions", PARTS)
        .config("spark.ui.enabled", "false")
        .config("spark.local.dir", str(out))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    session.read.parquet(str(events)).createOrReplaceTempView("events")
    session.sql(ONCE.format(events="events")).createOrReplaceTempView("once")
    session.sql(MANY.format(table="once", kind="user", core=CORE)).createOrReplaceTempView("many")
    kept = session.sql(MANY.format(table="many", kind="item", core=CORE)).cache()
    kept.createOrReplaceTempView("kept")
    counts = GROUPS.format(pairs=f"({PAIRS.format(kept='kept')})")
    session.sql(counts).write.parquet(str(out / "counts"), mode="overwrite")
    session.read.parquet(str(out / "counts")).createOrReplaceTempView("counts")
    (row,) = session.sql(TOTAL.format(counts="counts")).collect()
    session.stop()
    return tuple(int(value) for value in row)


ENGINES: dict[str, Callable[[Path, Path], tuple[int, ...]]] = {
    "ray_tasks": ray_tasks,
    "ray_data": ray_data,
    "spark": spark,
}


def main() -> None:
    """Run an engine, and print what it has counted as JSON."""
    engine, events, out = sys.argv[1:]
    folder = Path(out)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = ENGINES[engine](Path(events), folder)
    print(json.dumps({"sum": found}), flush=True)


if __name__ == "__main__":
    main()
