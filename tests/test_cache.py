import os
import subprocess
import sys

import pytest

from lkgrag.cache import StageCache, locked
from lkgrag.errors import RunError


def test_a_stage_is_built_once_and_again_when_what_it_depends_on_changes(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        (folder / "x").write_text(str(len(built)))

    cache = StageCache(tmp_path)
    load = lambda folder: (folder / "x").read_text()  # noqa: E731
    assert cache.stage("a", {"k": 1}, build, load) == "1"
    assert cache.stage("a", {"k": 1}, build, load) == "1"
    assert cache.stage("a", {"k": 2}, build, load) == "2"
    assert cache.stage("b", {"k": 1}, build, load) == "3"
    assert StageCache(tmp_path, enabled=False).stage("a", {"k": 1}, build, load) == "4"


def test_no_one_clears_a_stage_while_it_is_read(tmp_path):
    others = []

    def load(folder):
        with pytest.raises(RunError), locked(folder / ".lock", wait=False):
            others.append("in")
        return (folder / "x").read_text()

    cache = StageCache(tmp_path, enabled=False)
    assert cache.stage("a", {}, lambda f: (f / "x").write_text("whole"), load) == "whole"
    assert others == []


def test_an_interrupted_build_is_not_taken_for_a_whole_one(tmp_path):
    def broken(folder):
        (folder / "x").write_text("half")
        raise KeyboardInterrupt

    cache = StageCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.stage("a", {}, broken, lambda f: None)

    def finish(folder):
        assert (folder / "x").read_text() == "half"
        (folder / "x").write_text("whole")

    assert cache.stage("a", {}, finish, lambda f: (f / "x").read_text()) == "whole"


def test_a_lock_is_refused_while_its_process_lives_and_free_after(tmp_path):
    path = tmp_path / ".lock"
    code = (
        "import sys, time, pathlib\n"
        "from lkgrag.cache import locked\n"
        f"with locked(pathlib.Path({str(path)!r}), wait=False):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "held"
    with pytest.raises(RunError, match=str(child.pid)), locked(path, wait=False):
        pass
    os.kill(child.pid, 9)
    child.wait()
    with locked(path, wait=False):
        pass
