"""The benchmark of counting on a cluster: processes are metered, and tables compared however they are cut."""

import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.engines import cluster, meter

#: Sets its title as a worker of Ray does, and works for a while.
BUSY = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass\nprint('done')"


@pytest.mark.slow
def test_processes_are_metered_and_one_is_killed(monkeypatch):
    found = meter.metered([sys.executable, "-c", BUSY], dict(os.environ))
    assert found["out"] == "done\n"
    assert found["cpu_seconds"] >= 0.4
    assert found["peak_gib"] > 0
    assert not found["workers"]
    monkeypatch.setattr(meter, "WORKER", meter.re.compile("process_time"))
    killed = meter.metered([sys.executable, "-c", BUSY], dict(os.environ), 0.2)
    assert (killed["killed"], killed["status"], killed["out"]) == (True, -9, "")


def test_workers_are_known_by_their_names():
    for name in ("ray::DuckWorker.make", "ray::_divide", "java ... CoarseGrainedExecutorBackend"):
        assert meter.WORKER.search(name), name
    for name in ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "python -m x"):
        assert not meter.WORKER.search(name), name


def write(folder, parts, values):
    (folder / "graph").mkdir(parents=True)
    for kind in ("user", "item"):
        pq.write_table(pa.table({"id": ["a"]}), folder / f"{kind}s.parquet")
    for number in range(parts):
        some = pa.table({"source": values[number::1][:1] if parts > 1 else values})
        pq.write_table(some, folder / "graph" / f"part-{number:05}.parquet")
    return cluster.sum_of(folder)


def test_sums_do_not_depend_on_the_parts(tmp_path):
    whole = write(tmp_path / "a", 1, [1, 2, 3])
    assert write(tmp_path / "b", 3, [1, 2, 3]) == whole
    assert write(tmp_path / "c", 1, [1, 2, 4]) != whole


def test_the_tables_say_what_was_lost():
    row = {
        "seconds": 9.0,
        "cpu_seconds": 8.0,
        "load": 1.0,
        "peak_gib": 2.0,
        "workers": [4.0],
        "sum": [1],
    }
    found = {
        "choice": {
            "1M": {"ray_tasks": row, "ray_tasks, killed": {**row, "sum": None}, "spark": row}
        },
        "counting": {"1M": {"alone": {**row, "workers": []}, "two": row}},
    }
    text = cluster.choice_table(found)
    assert "| 1M | tasks of Ray, DuckDB in each | 8 | 9 | 1.0 | 2.0 | query lost |" in text
    assert "Spark SQL" in text
    assert "Ray Data" not in text
    assert "| 1M | two workers | 8 | 4 | 9 | 1.0 | 2.0 | yes |" in cluster.counting_table(found)
