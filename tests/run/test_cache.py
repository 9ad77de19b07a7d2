import errno
import os
import subprocess
import sys

import pytest

from lkgrag.errors import LkgragError, RunError
from lkgrag.run.cache import StageCache
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.locks import clear, locked


def test_a_stage_is_built_once_and_again_when_what_it_depends_on_changes(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        (folder / "x").write_text(str(len(built)))

    cache = StageCache(tmp_path)
    load = lambda folder: (folder / "x").read_text()  # noqa: E731
    assert cache.load_or_build("a", {"k": 1}, build, load) == "1"
    assert cache.load_or_build("a", {"k": 1}, build, load) == "1"
    assert cache.load_or_build("a", {"k": 2}, build, load) == "2"
    assert cache.load_or_build("b", {"k": 1}, build, load) == "3"
    assert StageCache(tmp_path, enabled=False).load_or_build("a", {"k": 1}, build, load) == "4"


def test_no_one_clears_a_stage_while_it_is_read(tmp_path):
    others = []

    def load(folder):
        with pytest.raises(RunError), locked(folder / ".lock", wait=False):
            others.append("in")
        return (folder / "x").read_text()

    cache = StageCache(tmp_path, enabled=False)
    assert cache.load_or_build("a", {}, lambda f: (f / "x").write_text("whole"), load) == "whole"
    assert others == []


def test_an_interrupted_build_is_not_taken_for_a_whole_one(tmp_path):
    def broken(folder):
        (folder / "x").write_text("half")
        raise KeyboardInterrupt

    cache = StageCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.load_or_build("a", {}, broken, lambda f: None)

    def finish(folder):
        assert (folder / "x").read_text() == "half"
        (folder / "x").write_text("whole")

    assert cache.load_or_build("a", {}, finish, lambda f: (f / "x").read_text()) == "whole"


@pytest.mark.parametrize("harm", ["cut", "remove", "other"])
@pytest.mark.parametrize("name", ["done.json", "x.json"])
def test_a_damaged_stage_is_made_again_with_a_warning(tmp_path, caplog, name, harm):
    built = []

    def build(folder):
        built.append(folder)
        write_json(folder / "x.json", {"value": len(built)})

    def load(folder):
        return read_json(folder / "x.json")["value"]

    cache = StageCache(tmp_path)
    assert cache.load_or_build("a", {}, build, load) == 1
    file = built[0] / name
    if harm == "remove":
        file.unlink()
    else:
        file.write_text("{" if harm == "cut" else "{}")
    assert cache.load_or_build("a", {}, build, load) == 2
    assert cache.load_or_build("a", {}, build, load) == 2
    told = [r.getMessage() for r in caplog.records if "made again" in r.getMessage()]
    # Without its last file a stage is merely not there yet.
    assert len(told) == (0 if (name, harm) == ("done.json", "remove") else 1)


def test_a_changed_bit_that_can_be_read_all_the_same_is_found(tmp_path, caplog):
    built = []

    def build(folder):
        built.append(folder)
        (folder / "x").write_text("a")

    def load(folder):
        return (folder / "x").read_text()

    cache = StageCache(tmp_path)
    assert cache.load_or_build("a", {}, build, load) == "a"
    (built[0] / "x").write_text("b")
    (built[0] / "later.safetensors").write_text("a checkpoint")
    assert cache.load_or_build("a", {}, build, load) == "a"
    assert len(built) == 2
    assert "x: broken, its SHA-256 is not the one in done.json); it is made again" in caplog.text
    # Stages of older versions have no sums.
    (built[0] / "done.json").write_text('{"stage": "a", "depends": {}, "seconds": 1.5}')
    (built[0] / "x").write_text("c")
    assert cache.load_or_build("a", {}, build, load) == "c"
    assert cache.seconds == {"a": 1.5}


def test_what_the_machine_refuses_to_read_is_kept(tmp_path):
    def load(folder):
        try:
            raise PermissionError(errno.EACCES, "Permission denied")
        except OSError as error:
            raise LkgragError("not readable") from error

    cache = StageCache(tmp_path)
    cache.load_or_build("a", {}, lambda f: (f / "x").write_text("whole"), lambda f: None)
    with pytest.raises(LkgragError, match="not readable"):
        cache.load_or_build("a", {}, lambda f: pytest.fail("made again"), load)
    assert [p.read_text() for p in tmp_path.rglob("x")] == ["whole"]


def test_a_stage_that_cannot_be_read_as_soon_as_it_is_made_is_an_error(tmp_path):
    def load(folder):
        raise ValueError("a fault of the program")

    with pytest.raises(ValueError, match="a fault"):
        StageCache(tmp_path).load_or_build("a", {}, lambda f: None, load)


def test_links_are_unlinked_and_what_they_lead_to_stays(tmp_path):
    away, folder = tmp_path / "away", tmp_path / "folder"
    away.mkdir()
    folder.mkdir()
    (away / "x").write_text("mine")
    (folder / "link").symlink_to(away)
    clear(folder)
    assert list(folder.iterdir()) == []
    assert (away / "x").read_text() == "mine"


@pytest.mark.slow
def test_a_lock_is_refused_while_its_process_lives_and_free_after(tmp_path):
    path = tmp_path / ".lock"
    code = (
        "import sys, time, pathlib\n"
        "from lkgrag.run.cache import locked\n"
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
