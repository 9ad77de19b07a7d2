"""Runs that are killed and started again end as if nothing had been.

Three kills by default; ``LKGRAG_KILLS=20`` makes as many, each on a run of its own.
"""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.processes import Process, run
from helpers.small_run import same, small_options

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("LKGRAG_KILLS", "3"))
#: One kill in three is made inside a file's write.
INSIDE = 3

#: Runs lkgrag.train and kills it in its n-th write of a file, when half of the file is there.
WRITE_KILLER = """
import os, runpy, signal, sys
number, seen = int(sys.argv.pop(1)), 0
rename = os.replace
def half_written(source, target):
    global seen
    if str(source).endswith(".tmp"):
        seen += 1
        if seen == number:
            os.truncate(source, os.path.getsize(source) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
    return rename(source, target)
os.replace = half_written
sys.argv[0] = "lkgrag.train"
runpy.run_module("lkgrag.train", run_name="__main__")
"""


def arguments(options, **changes):
    return [f"{key}={value}" for key, value in {**options, **changes}.items()]


def whole(args):
    done = run("lkgrag.train", *args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def comparable(folder):
    metrics = json.loads((Path(folder) / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if k not in ("seconds", "date")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("kill")
    options = small_options(root)
    start = time.perf_counter()
    whole(arguments(options))
    return options, comparable(root / "out"), time.perf_counter() - start


def kill_after(args, seconds):
    """Start the run and kill it; whether it was still running."""
    process = Process("lkgrag.train", args)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return True
    return False


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_run_started_again_gives_the_same_metrics(undisturbed, tmp_path, kill):
    options, expected, took = undisturbed
    draw = random.Random(kill)
    args = arguments(options, **{"out": tmp_path / "out", "cache.root": tmp_path / "cache"})
    if kill % INSIDE == INSIDE - 1:
        number = draw.randint(1, 30)
        done = run(WRITE_KILLER, number, *args)
        assert done.returncode == -signal.SIGKILL, f"write {number} was not reached"
    else:
        # Spread over the run, so that some kill falls into every stage.
        kill_after(args, took * (kill + draw.random()) / KILLS)
    whole(args)
    same(comparable(tmp_path / "out"), expected)
    rest = [p for p in tmp_path.rglob("*") if p.name.endswith((".tmp", ".part", ".old"))]
    assert rest == []


def test_a_run_killed_after_its_evaluation_asks_the_language_model_nothing_again(
    undisturbed, tmp_path
):
    options, expected, _ = undisturbed
    args = arguments(options, **{"out": tmp_path / "out", "cache.root": tmp_path / "cache"})
    whole(args)
    (tmp_path / "out" / "metrics.json").unlink()
    whole(args)
    same(comparable(tmp_path / "out"), expected)
    log = (tmp_path / "out" / "run.log").read_text()
    for split in ("val", "test"):
        assert f"{split}.safetensors are taken over" in log
