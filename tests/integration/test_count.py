"""The command ``lkgrag.count``: one line for bad input, and a process that is killed leaves nothing in the way."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.large import many

from lkgrag import count
from lkgrag.config.loading import load_config
from lkgrag.data.large import Store
from lkgrag.errors import ConfigError, RunError
from lkgrag.kg import TableKG

BASE = {"engine.memory": "512MB", "threads": "1"}


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.parquet"
    many(0, 600).to_parquet(path, index=False)
    return path


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr("sys.argv", ["lkgrag.count", *words])
    status = count.main()
    return status, capsys.readouterr()


def test_it_counts_and_goes_on(events, tmp_path, monkeypatch, capsys):
    words = [f"data.root={events}", f"out={tmp_path / 'out'}", "engine.memory=512MB", "threads=1"]
    status, told = run(monkeypatch, capsys, *words)
    assert status == 0
    assert "followed_by: " in told.out
    assert 'PathFinder.open("' in told.out
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.parquet")}
    again, same = run(monkeypatch, capsys, *words)
    assert (again, same.out) == (0, told.out)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    status, other = run(monkeypatch, capsys, *words, "kg.follow_window=1", "overwrite=true")
    assert status == 0
    assert other.out != told.out
    assert TableKG(tmp_path / "out" / "graph").get("follow_window") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.root=EVENTS"], "option 'out' is missing"),
        (["data.root=EVENTS", "out=OUT", "llm.name=x"], "unknown option 'llm.name'"),
        (["data.root=EVENTS", "out=OUT", "engine.memory=lots"], "is no amount of memory"),
        (["data.root=EVENTS", "out=OUT", "engine.memory=1MB"], "at least 512MB"),
        (["data.root=EVENTS", "out=OUT", "engine.temp=no/such"], "engine.temp=no/such: no such"),
        (["data.root=no.parquet", "out=OUT"], "data.root=no.parquet: no such folder"),
        (["data.root=EVENTS", "out=EVENTS"], "a file; name a folder"),
        (["data.root=EVENTS", "out=.", "data.min_user=1"], "holds other files"),
        (["data.root=EVENTS", "out=OUT", "data.min_user=9999"], "no user is left"),
        (["data.root=EVENTS", "out=OUT", "kg.exclude=[genre]"], "'genre' is not counted"),
        (["data.root=EVENTS", "out=OUT", "engine=spark"], "'spark' is none of duckdb, ray"),
        (["data.root=EVENTS", "out=OUT", "engine=Ray"], "Did you mean 'ray'"),
        (["data.root=EVENTS", "out=OUT", "workers=2"], "'workers' is for engine=ray"),
        (["data.root=EVENTS", "out=OUT", "engine=duckdb", "address=auto"], "'address' is for"),
    ],
)
def test_bad_input_is_one_line(words, message, events, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"EVENTS": str(events), "OUT": "out"}
    words = [w.replace("EVENTS", names["EVENTS"]).replace("OUT", names["OUT"]) for w in words]
    status, told = run(monkeypatch, capsys, "threads=1", *words)
    assert status == 2
    errors = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["workers=0"], "option 'workers'"),
        (["workers=two"], "option 'workers'"),
        (["workers=999"], "workers=999: this machine has"),
        (["address=head"], "is no address of a cluster"),
        (["address=127.0.0.1:9"], "address=127.0.0.1:9: no cluster can be reached there"),
        (["engine.memory=lots"], "is no amount of memory"),
        (["engine.temp=no/such"], "engine.temp=no/such: no such"),
    ],
)
def test_bad_input_for_a_cluster_is_one_line(words, message, events, tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")
    given = {"data.root": str(events), "out": str(tmp_path / "out"), "engine": "ray"}
    given |= dict(word.split("=", 1) for word in words)
    status, told = run(monkeypatch, capsys, "threads=1", *(f"{k}={v}" for k, v in given.items()))
    assert status == 2
    errors = [line for line in told.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_without_ray_the_extra_is_named(events, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = [f"data.root={events}", f"out={tmp_path / 'out'}", "engine=ray"]
    status, told = run(monkeypatch, capsys, *words)
    assert status == 2
    assert 'engine=ray: Ray is not installed: pip install "lkgrag[ray]"' in told.err
    assert not (tmp_path / "out").exists()


def test_another_process_is_named(events, tmp_path):
    from lkgrag.utils.locks import locked

    out = tmp_path / "out"
    out.mkdir()
    config = load_config({**BASE, "data.root": str(events), "out": str(out)})
    with locked(out / ".lock", wait=False), pytest.raises(RunError, match="in use by a living"):
        count.count(config, out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        count.count(config, out)


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_in_the_way(tmp_path):
    events, out = tmp_path / "events.parquet", tmp_path / "out"
    rng = np.random.default_rng(0)
    table = many(1, 120_000)
    table["user"], table["item"] = rng.integers(0, 12_000, 120_000), rng.integers(0, 2_000, 120_000)
    table.to_parquet(events, index=False)
    words = [f"data.root={events}", f"out={out}", "engine.memory=512MB", "threads=1"]
    command = [sys.executable, "-m", "lkgrag.count", *words]
    kills = 0
    for wanted in ("work/raw/part-00000.parquet", "sequences", "graph/followed_by"):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
            while job.poll() is None and not (out / wanted).exists():
                time.sleep(0.01)
            if job.poll() is None:
                os.kill(job.pid, signal.SIGKILL)
                kills += 1
    assert kills
    subprocess.run(command, check=True, capture_output=True)
    fresh = [f"out={tmp_path / 'fresh'}" if w.startswith("out=") else w for w in words]
    subprocess.run([*command[:3], *fresh], check=True, capture_output=True)
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp") or "duckdb" in p.name]
    store, want = Store.open(out).read(), Store.open(tmp_path / "fresh").read()
    np.testing.assert_array_equal(store.item, want.item)
    for path in (tmp_path / "fresh").rglob("*.parquet"):
        same = out / path.relative_to(tmp_path / "fresh")
        assert pq.read_table(same).equals(pq.read_table(path)), path.name
    for path in (tmp_path / "fresh" / "paths").glob("*.npy"):
        assert path.read_bytes() == (out / "paths" / path.name).read_bytes()
