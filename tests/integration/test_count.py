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
from lkgrag.errors import ConfigError
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


def test_another_process_is_named(events, tmp_path):
    from lkgrag.errors import RunError
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
    table = many(1, 400_000)
    table["user"], table["item"] = rng.integers(0, 40_000, 400_000), rng.integers(0, 3_000, 400_000)
    table.to_parquet(events, index=False)
    words = [f"data.root={events}", f"out={out}", "engine.memory=512MB", "threads=1"]
    command = [sys.executable, "-m", "lkgrag.count", *words]
    kills = 0
    for wanted in ("work/raw.parquet", "sequences", "graph/followed_by"):
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
