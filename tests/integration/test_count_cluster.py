"""``lkgrag.count`` by two workers of a Ray cluster: the tables of one process, whoever is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers.large import many
from helpers.tables import assert_same, tables_of

from lkgrag import count
from lkgrag.config.loading import load_config
from lkgrag.data.large import Store, making
from lkgrag.data.readers.formats import columns
from lkgrag.kg import TableKG
from lkgrag.paths import PathFinder
from lkgrag.utils import duck_team

ray = pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")

#: Cuts the work into parts of few rows, in a command of its own.
SMALL = """
import sys
from lkgrag.data.large import making
from lkgrag.data.readers.formats import columns
from lkgrag.utils import duck_team
columns.BATCH, making.PIECE, duck_team.ROWS, duck_team.PARTS = 128, 256, 300, 8
from lkgrag import count
sys.exit(count.main())
"""


@pytest.mark.slow
def test_a_killed_driver_and_a_killed_worker_change_no_table(tmp_path, monkeypatch, capsys, caplog):
    # Ray gives its workers a low priority, by which they would wait for everything else on a busy machine.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    events, out = tmp_path / "events.parquet", tmp_path / "many"
    many(5, 2000).to_parquet(events, index=False)
    options = {"data.root": str(events), "engine.memory": "512MB", "threads": "1"}
    words = [*(f"{k}={v}" for k, v in options.items()), f"out={out}", "engine=ray", "workers=2"]
    # The driver is killed when the first sequences are there.
    command = [sys.executable, "-c", SMALL, *words]
    end = time.monotonic() + 900
    said = tmp_path / "said"
    with open(said, "w") as err, subprocess.Popen(command, stdout=err, stderr=err) as job:
        while not list(out.glob("sequences/part-*")):
            assert job.poll() is None, said.read_text()
            assert time.monotonic() < end, "no part comes"
            time.sleep(0.01)
        os.kill(job.pid, signal.SIGKILL)
    assert not (out / "graph" / "graph.json").exists()
    # The same command goes on, and a worker is killed while it makes a part of the graph.
    monkeypatch.setattr(columns, "BATCH", 128)
    monkeypatch.setattr(making, "PIECE", 256)
    monkeypatch.setattr(duck_team, "ROWS", 300)
    monkeypatch.setattr(duck_team, "PARTS", 8)
    living, dead, told = [], [], duck_team._Parts.told
    crew = duck_team.Crew

    def enlist(node, process):
        living.append(process)

    def kill(self, number):
        if self.words == "count co_rated" and number == 0 and not dead:
            dead.append(living[-1])
            os.kill(dead[0], signal.SIGKILL)
        return told(self, number)

    monkeypatch.setattr(duck_team._Parts, "told", kill)
    monkeypatch.setattr(duck_team, "Crew", lambda *a, **k: crew(*a, enlisted=enlist, **k))
    monkeypatch.setattr("sys.argv", ["lkgrag.count", *words])
    tries = 1
    while count.main():
        # Ray gives up on a busy machine after half a minute.
        assert "timed out during startup" in capsys.readouterr().err
        tries += 1
        assert tries < 5
    # On a fast machine the other worker has done the rest before the new one has begun.
    assert len(living) in (2, 3)
    assert living[:2].count(dead[0]) == 1
    lost = [r.getMessage() for r in caplog.records if " lost " in r.getMessage()]
    assert len(lost) == 1
    assert "killed, or its machine was lost" in lost[0]
    assert not ray.is_initialized()
    # Nothing is left but what is counted.
    left = {path.name for path in out.iterdir()}
    files = {"key.json", "store.json", "split.json", "users.parquet", "items.parquet", ".lock"}
    folders = {"sequences", "training", "val", "test", "graph", "itemitem", "paths"}
    assert left == files | folders
    assert not list(out.rglob("*.tmp"))
    count.count(load_config({**options, "out": str(tmp_path / "one")}), tmp_path / "one")
    assert_same(tables_of(out), tables_of(tmp_path / "one"))
    assert len(Store.open(out).parts) > 2
    assert PathFinder.open(out / "paths").num_items == TableKG(out / "graph")["item"].num_nodes
