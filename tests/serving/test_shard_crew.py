"""Rankings of all users by workers of a Ray cluster: the files of one process, whoever is killed."""

import os
import pickle
import signal
import time
from pathlib import Path

import pytest
from helpers import processes

from lkgrag import __version__, recommend
from lkgrag.errors import LkgragError
from lkgrag.serving import shard_work
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.shard_crew import read_context, recommend_by_crew
from lkgrag.serving.shard_files import ShardPlan
from lkgrag.serving.shard_work import Crew, Shards, make_shards
from lkgrag.serving.shard_worker import Order, ShardWorker
from lkgrag.serving.shards import BulkRequest, fingerprint, recommend_all
from lkgrag.utils import ray_team, ray_worker
from lkgrag.utils.ray_cluster import PREFIX

ray = pytest.importorskip("ray", reason="needs the extra lkgrag[ray]")


def request_of(folder):
    return BulkRequest(k=3, users_per_shard=1, made_from={"ranker": fingerprint(folder)})


def files_of(out):
    """What a folder holds, but locks; sums in the order of the shards."""
    found = {path.name: path.read_bytes() for path in out.iterdir() if "lock" not in path.name}
    found["_sha256sums"] = sorted(set(found["_sha256sums"].splitlines()), key=lambda s: s[64:])
    return found


@pytest.fixture(scope="module")
def alone(small_run, tmp_path_factory):
    """What one process writes."""
    out = tmp_path_factory.mktemp("alone")
    folder = small_run[0] / "out" / "ranker"
    recommend_all(Ranker.from_pretrained(folder, "cpu"), out, request_of(folder))
    return files_of(out)


def test_two_workers_and_one_killed_write_what_one_process_writes(
    small_run, alone, tmp_path, capsys, caplog
):
    folder, out = small_run[0] / "out" / "ranker", tmp_path / "recs"
    living, seen = [], []

    def kill(done, total):
        seen.append((done, total))
        if done == 4:
            os.kill(living[0], signal.SIGKILL)

    crew = Crew(folder, workers=2, enlisted=lambda node, process: living.append(process))
    assert recommend_by_crew(read_context(folder, None), out, request_of(folder), crew, kill) == 60
    assert seen == [(n, 60) for n in range(61)]
    assert files_of(out) == alone
    assert not ray.is_initialized()
    # Ray prints nothing, and we tell in one line.
    assert capsys.readouterr().out == ""
    assert [
        r.getMessage().split(" (")[1] for r in caplog.records if " lost " in r.getMessage()
    ] == ["killed, or its machine was lost); another one takes its place"]


def settle(out):
    """Wait until the workers of a killed command have written their last shard."""
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 3:
        now = len(list(out.glob("part-*.parquet")))
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.1)


@pytest.mark.slow
def test_the_command_killed_and_stopped_goes_on(small_run, alone, tmp_path):
    out = tmp_path / "recs"
    words = [f"run={small_run[0] / 'out'}", "users=all", f"out={out}/", "k=3", "shard=1"]
    words += ["engine=ray", "workers=1"]
    for number in (signal.SIGKILL, signal.SIGINT):
        others = {path.name for path in Path("/tmp").glob(f"{PREFIX}*")}
        before = len(list(out.glob("part-*.parquet")))
        process, end = processes.Process("lkgrag.recommend", words), time.monotonic() + 200
        while len(list(out.glob("part-*.parquet"))) <= before and process.poll() is None:
            assert time.monotonic() < end, "no shard comes"
            time.sleep(0.01)
        os.kill(process.pid, number)
        done = process.finish()
        assert done.returncode == (130 if number == signal.SIGINT else -9), done.stderr
        settle(out)
    own = [line for line in done.stderr.splitlines() if line and not line.startswith("  ")]
    assert own == [f"stopped; {recommend.COMMAND.after_stop}"]
    # Ctrl-C has ended the cluster and removed its folder.
    assert not {path.name for path in Path("/tmp").glob(f"{PREFIX}*")} - others
    # Whoever goes on makes the rest, here without a cluster.
    done = processes.run("lkgrag.recommend", *words[:-2])
    assert done.returncode == 0, done.stderr
    assert files_of(out) == alone


@pytest.fixture
def order(tmp_path):
    (tmp_path / "recs").mkdir()
    (tmp_path / "recs" / "token").write_text("text")
    plan = pickle.dumps(ShardPlan(tmp_path / "recs", 60, 3))
    place, request = str(tmp_path / "recs"), pickle.dumps(BulkRequest(k=3))
    return [__version__, place, ("token", "text"), str(tmp_path), "", None, 1, request, plan]


def test_what_keeps_a_worker_from_its_work(order, monkeypatch):
    monkeypatch.setattr(ray_worker, "VISIBLE", 0.0)
    assert ShardWorker(Order(*order)).enlist()["problem"] is None
    assert "install the same version" in ShardWorker(Order("9", *order[1:])).enlist()["problem"]
    other = [*order[:2], ("token", "other"), *order[3:]]
    assert "is not the same folder there" in ShardWorker(Order(*other)).enlist()["problem"]
    assert str(order[3]) in ShardWorker(Order(*order)).load()["problem"]


def test_a_worker_without_memory(order, monkeypatch):
    worker = ShardWorker(Order(*order))

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(worker, "_make", fail)
    assert "out of memory at a shard: take fewer workers=" in worker.make(0)["problem"]
    monkeypatch.setattr(worker, "_make", lambda number: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        worker.make(0)


class FakeRay:
    """A cluster whose workers answer by a function of the method's name; an exception is raised."""

    exceptions = ray.exceptions

    def __init__(self, answer):
        self.answer = answer
        self.killed = 0

    def remote(self, *given):
        return self

    def options(self, **given):
        return self

    def __getattr__(self, name):
        if name in ("enlist", "load", "make"):
            return FakeCall(name)
        raise AttributeError(name)

    def wait(self, calls, num_returns, timeout):
        return (calls[:1] if self.answer is not None else []), []

    def get(self, call):
        result = self.answer(*call)
        if isinstance(result, Exception):
            raise result
        return {"problem": None, **result}

    def kill(self, actor):
        self.killed += 1

    def cluster_resources(self):
        return {"CPU": 4.0}

    def available_resources(self):
        return {"CPU": 0.0}


class FakeCall:
    def __init__(self, name):
        self.name = name

    def remote(self, *args):
        return (self.name, *args, object())


def work(answer, tmp_path, order):
    fake = FakeRay(answer)
    shards = Shards(ShardPlan(tmp_path / "recs", 60, 3), None)
    crew = Crew(tmp_path, workers=2)
    return lambda numbers: make_shards(fake, crew, Order(*order), shards, numbers), fake


def gone(text):
    return ray.exceptions.RayActorError(error_msg=text)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"enlist": {"problem": "no"}}, "worker on a: no"),
        ({"load": {"problem": "broken"}}, "worker on a: broken"),
        ({"make": {"few": 0, "sum": "0"}}, "missing or different here"),
        ({"make": gone("killed")}, r"lost at part-00000-of-00020.parquet, the last of 3 \(killed"),
        (
            {"make": gone("Task was killed due to the node running low on memory; OutOfMemory")},
            "out of memory",
        ),
        ({"load": gone("x")}, "lost before any part, the last of 6"),
        ({"make": ray.exceptions.RaySystemError("GCS")}, "cluster was lost .*the same command"),
    ],
)
def test_troubles_of_workers(order, tmp_path, monkeypatch, answers, message):
    monkeypatch.setattr(shard_work, "VISIBLE", 0.0)
    usual = {"enlist": {"node": "a", "process": 1}, "load": {}}
    usual = {
        name: {**usual.get(name, {}), **a} if isinstance(a, dict) else a
        for name, a in {**usual, **answers}.items()
    }
    job, fake = work(lambda name, *rest: usual[name], tmp_path, order)
    with pytest.raises(LkgragError, match=message):
        job(list(range(20)))
    assert fake.killed >= 2


def test_a_cluster_without_a_free_place(order, tmp_path, monkeypatch):
    monkeypatch.setattr(ray_team, "PATIENCE", 0.0)
    job, fake = work(None, tmp_path, order)
    with pytest.raises(LkgragError, match="of the cluster's 4 CPUs 0 are free"):
        job([0, 1])
    assert fake.killed == 2
