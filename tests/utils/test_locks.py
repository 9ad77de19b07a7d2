"""One process at a time holds a folder, and its lock goes with it."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from lkgrag.errors import LkgragError, RunError
from lkgrag.utils.locks import clear, locked

HOLD = """
import pathlib, sys
from lkgrag.utils.locks import locked
with locked(pathlib.Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path):
    """Another process that holds a lock until its input is closed."""
    pipe = subprocess.PIPE
    line = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True) as child:
        try:
            assert child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


@pytest.mark.slow
def test_a_second_process_is_refused_with_the_holder_s_number(tmp_path):
    path = tmp_path / ".lock"
    with holder(path) as child:
        with pytest.raises(RunError) as error, locked(path, wait=False, what="the folder x"):
            pytest.fail("it is held")
        assert f"pid {child.pid}" in str(error.value)
        assert str(error.value).startswith("the folder x")
        assert "\n" not in str(error.value)
        # Who was refused has not written its own number.
        assert path.read_text() == f"pid {child.pid}"


@pytest.mark.slow
def test_a_lock_is_free_once_its_holder_is_killed(tmp_path):
    path = tmp_path / ".lock"
    with holder(path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
        with locked(path, wait=False):
            assert path.read_text() == f"pid {os.getpid()}"


@pytest.mark.slow
def test_who_waits_gets_the_lock_when_its_holder_ends(tmp_path):
    path = tmp_path / ".lock"
    with holder(path) as child:
        ending = threading.Timer(0.2, child.stdin.close)
        ending.start()
        with locked(path, wait=True):
            assert child.wait() == 0
        ending.join()


def test_a_lock_is_free_after_its_block(tmp_path):
    path = tmp_path / ".lock"
    for _ in range(2):
        with locked(path, wait=False):
            assert path.read_text() == f"pid {os.getpid()}"


def test_a_lock_is_free_after_an_error_in_its_block(tmp_path):
    path = tmp_path / ".lock"
    with pytest.raises(KeyboardInterrupt), locked(path, wait=False):
        raise KeyboardInterrupt
    with locked(path, wait=False):
        pass


def test_a_lock_of_one_process_is_not_given_to_it_twice(tmp_path):
    path = tmp_path / ".lock"
    with locked(path, wait=False):
        with pytest.raises(RunError, match=str(os.getpid())), locked(path, wait=False):
            pytest.fail("it is held")
        # A refusal takes nothing from the holder.
        with pytest.raises(RunError), locked(path, wait=False):
            pytest.fail("it is held")


def test_a_shorter_number_leaves_nothing_of_a_longer_one(tmp_path):
    path = tmp_path / ".lock"
    path.write_text("pid " + "9" * 20)
    with locked(path, wait=False):
        assert path.read_text() == f"pid {os.getpid()}"


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    path = tmp_path / "none" / ".lock"
    with pytest.raises(LkgragError) as error, locked(path, wait=False):
        pytest.fail("there is no folder")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_clear_keeps_the_lock_alone(tmp_path):
    (tmp_path / ".lock").write_text("pid 1")
    (tmp_path / "x").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".lock").touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert (tmp_path / ".lock").read_text() == "pid 1"


def test_clear_goes_in_the_order_that_is_asked_for(tmp_path, monkeypatch):
    gone = []
    unlink = type(tmp_path).unlink
    monkeypatch.setattr(
        type(tmp_path), "unlink", lambda path: gone.append(path.name) or unlink(path)
    )
    for name in ("a", "done.json", "m", "config.yaml", "z"):
        (tmp_path / name).touch()
    clear(tmp_path, first="done.json", last="config.yaml")
    assert gone[0] == "done.json"
    assert gone[-1] == "config.yaml"
    assert sorted(gone[1:-1]) == ["a", "m", "z"]


def test_a_clearing_that_stops_keeps_what_marks_the_folder(tmp_path, monkeypatch):
    """Whole is what has its first entry, ours what has its last: in between it is ours and not whole."""
    for name in ("a", "done.json", "config.yaml"):
        (tmp_path / name).touch()
    unlink = type(tmp_path).unlink

    def stop(path):
        if path.name == "a":
            raise KeyboardInterrupt
        unlink(path)

    monkeypatch.setattr(type(tmp_path), "unlink", stop)
    with pytest.raises(KeyboardInterrupt):
        clear(tmp_path, first="done.json", last="config.yaml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "config.yaml"]


def test_clear_unlinks_links_and_leaves_what_they_lead_to(tmp_path):
    away, folder = tmp_path / "away", tmp_path / "folder"
    away.mkdir()
    folder.mkdir()
    (away / "x").write_text("mine")
    (folder / "to a folder").symlink_to(away)
    (folder / "to a file").symlink_to(away / "x")
    (folder / "to nothing").symlink_to(away / "none")
    clear(folder)
    assert list(folder.iterdir()) == []
    assert (away / "x").read_text() == "mine"
