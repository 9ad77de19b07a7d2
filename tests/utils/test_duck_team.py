"""Parts made by workers with a database: what keeps a worker from its work, and answers that do not fit."""

import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.large import small_duck

from lkgrag import __version__
from lkgrag.config import EngineConfig
from lkgrag.errors import DataError, RunError
from lkgrag.utils import duck_team, duck_worker, ray_worker
from lkgrag.utils.duck import FRESH, PREFIX, sweep_temporary
from lkgrag.utils.duck_team import Crew, TeamHands, memory_of_worker
from lkgrag.utils.duck_worker import DuckWorker, Order
from lkgrag.utils.parts import load_array, load_arrays, read_part, save_array
from lkgrag.utils.steps import Task


def write_text(duck, text, path):
    """A part."""
    Path(path).write_text(text)


def fail(duck, error, path):
    """A part that cannot be made."""
    raise error


def copy(duck, source, path):
    """A part that needs another one."""
    try:
        Path(path).write_text(Path(source).read_text())
    except FileNotFoundError:
        source.with_name("late").rename(source)
        raise


@pytest.fixture
def order(tmp_path):
    (tmp_path / "token").write_text("text")
    return Order(__version__, str(tmp_path), ("token", "text"), "512MB", None, 1, ("json",))


def told(call, given, path):
    return pickle.dumps(Task(path, call, (given, path)))


def test_a_worker_makes_each_part_once(order, tmp_path):
    worker, path = DuckWorker(order), tmp_path / "part"
    assert worker.enlist()["problem"] is None
    assert worker.load() == {"problem": None}
    assert worker.make(told(write_text, "one", path)) == {"problem": None, "bytes": 3}
    assert worker.make(told(write_text, "other", path)) == {"problem": None, "bytes": 3}
    assert path.read_text() == "one"
    worker._open.__exit__(None, None, None)
    assert not list(tmp_path.glob(".lkgrag*"))


def test_a_part_that_another_machine_has_just_written_is_waited_for(order, tmp_path):
    (tmp_path / "late").write_text("text")
    worker = DuckWorker(order)
    answer = worker.make(told(copy, tmp_path / "source", tmp_path / "part"))
    assert answer == {"problem": None, "bytes": 4}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": "9"}, "not 9: install the same version"),
        ({"token": ("token", "other")}, "is not the same folder there"),
    ],
)
def test_a_worker_that_cannot_take_part(order, monkeypatch, change, problem):
    monkeypatch.setattr(ray_worker, "VISIBLE", 0.0)
    worker = DuckWorker(Order(**{**order.__dict__, **change}))
    assert problem in worker.enlist()["problem"]


def test_a_worker_without_its_folder_or_memory(order, tmp_path):
    worker = DuckWorker(Order(**{**order.__dict__, "temp": "no/such"}))
    assert "engine.temp=no/such: no such folder" in worker.load()["problem"]
    worker = DuckWorker(order)
    answer = worker.make(told(fail, MemoryError(), tmp_path / "part"))
    assert answer["problem"].startswith("out of memory at a part: take fewer workers=")
    answer = worker.make(told(fail, DataError("row 5: wrong"), tmp_path / "part"))
    assert answer["problem"] == "row 5: wrong"
    with pytest.raises(ZeroDivisionError):
        worker.make(told(fail, ZeroDivisionError(), tmp_path / "part"))
    assert not (tmp_path / "part").exists()


def test_a_missing_file_is_named_when_the_time_is_up(order, tmp_path, monkeypatch):
    monkeypatch.setattr(duck_worker, "VISIBLE", 0.0)
    error = DataError("x.parquet: missing; count anew with overwrite=true")
    answer = DuckWorker(order).make(told(fail, error, tmp_path / "part"))
    assert answer["problem"] == str(error)


class Made:
    """A team whose worker answers with a size."""

    def __init__(self, size):
        self.size = size

    def make(self, job, numbers):
        for number in numbers:
            job.tell(len(numbers) - number)
            task = pickle.loads(job.told(number))
            task.call(None, *task.args)
            assert job.is_made(number)
            assert job.name(number).endswith("/part")
            job.receive(number, {"bytes": self.size}, "node")


def test_a_part_that_does_not_come_here_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(duck_team, "VISIBLE", 0.0)
    path = tmp_path / "part"
    tasks = [Task(path, write_text, ("text", path))]
    with small_duck(tmp_path) as duck:
        with pytest.raises(RunError, match="worker on node wrote it, but it is missing or"):
            TeamHands(duck, Made(5), 10**9).do("write", tasks)
        path.unlink()
        assert TeamHands(duck, Made(4), 10**9).do("write", tasks) == [path]
        # What is there is not made again.
        assert TeamHands(duck, None, 10**9).do("write", tasks) == [path]


def test_parts_fit_into_memory_and_are_enough_for_many_workers(tmp_path, monkeypatch):
    with small_duck(tmp_path) as duck:
        hands = TeamHands(duck, None, 512 * 10**6)
    fits = int((512 - 300) * 10**6 * 0.33) // 96
    assert hands.most_rows(10**12, 96) == fits
    assert hands.most_rows(10**6, 8) == duck_team.ROWS
    assert hands.most_rows(512 * 10**6, 8) == 512 * 10**6 // duck_team.PARTS
    assert hands.most_rows(1, 10**12) == 1


def test_memory_is_shared_by_the_workers_of_a_machine():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "memory": 64e9}},
        {"Alive": True, "Resources": {"CPU": 4.0, "memory": 16e9}},
        {"Alive": False, "Resources": {"CPU": 1.0, "memory": 1e9}},
        {"Alive": True, "Resources": {"memory": 1e9}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)
    far, here = Crew(0, 2, "auto"), Crew(3, 1)
    assert memory_of_worker(ray, EngineConfig(memory="2GB"), far) == 2 * 10**9
    assert memory_of_worker(ray, EngineConfig(), far) == 4 * 10**9
    free = memory_of_worker(ray, EngineConfig(), Crew(1, 1))
    assert memory_of_worker(ray, EngineConfig(), here) <= free


def test_a_folder_that_is_not_locked_yet_is_not_swept(tmp_path):
    (tmp_path / f"{FRESH}a").mkdir()
    (tmp_path / f"{PREFIX}b").mkdir()
    sweep_temporary(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{FRESH}a"]
    # A killed process may leave one, which is not in the way.
    with small_duck(tmp_path) as duck:
        assert duck.temp.name.startswith(PREFIX)


@pytest.mark.parametrize("read", [load_array, load_arrays, read_part])
def test_a_file_between_the_steps_that_is_missing_or_broken_is_named(tmp_path, read):
    path = tmp_path / "part"
    with pytest.raises(DataError, match="part: missing; count anew with overwrite=true"):
        read(path)
    for text in (b"", b"text", b"PK\3\4 no archive", b"\x93NUMPY"):
        path.write_bytes(text)
        with pytest.raises(DataError, match="part: broken"):
            read(path)
    save_array(path, np.arange(3))
    assert load_array(path).tolist() == [0, 1, 2]
