"""What processes must have in common, with others that are played."""

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest

from lkgrag.config.identity import to_dict
from lkgrag.config.loading import load_config
from lkgrag.errors import RunError
from lkgrag.run import agreement
from lkgrag.run.agreement import (
    refuse_other_data,
    refuse_other_folders,
    refuse_other_options,
    refuse_other_stages,
    refuse_other_versions,
)
from lkgrag.utils.group import ALONE, Group


@dataclass(frozen=True)
class Played(Group):
    """One of two processes that are threads."""

    board: dict = field(default_factory=dict)
    barrier: threading.Barrier | None = None

    def gather(self, value):
        self.barrier.wait(20)
        self.board[self.rank] = value
        self.barrier.wait(20)
        values = [self.board[rank] for rank in range(self.size)]
        self.barrier.wait(20)
        return values

    def share(self, value):
        return self.gather(value)[0]


def play(check, *given):
    """What a check says to each of two processes; None where it says nothing.

    Args:
        check: takes the group and what is given.
        given: of each process.
    """
    board, barrier, said = {}, threading.Barrier(2), {}

    def one(rank):
        group = Played(rank, 2, board=board, barrier=barrier)
        try:
            check(group, given[rank])
            said[rank] = None
        except RunError as error:
            said[rank] = str(error)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said[0], said[1]


def options(**pairs):
    return to_dict(load_config(pairs))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": "1"}, "has seed=1, process 0 .* seed=0"),
        ({"retrieval.k": "30"}, r"has retrieval\.k=30, process 0 .* retrieval\.k=20"),
        ({"overwrite": "true"}, "has overwrite=True"),
        ({"nodes.lrurec": "never"}, r"has nodes\.lrurec=never"),
        ({"training.micro_batch": "2"}, r"has training\.micro_batch=2"),
        ({"data.columns": "{user: uid}"}, r"has data\.columns=\{'user': 'uid'\}"),
        ({"cache.enabled": "false"}, r"has cache\.enabled=False"),
    ],
)
def test_other_options_are_refused_by_all_with_one_line(changes, words):
    one, other = play(refuse_other_options, options(), options(**changes))
    assert one == other
    with pytest.raises(AssertionError, match="process 1 .*" + words + ".*start the same command"):
        raise AssertionError(one)
    assert "\n" not in one


def test_each_machine_has_its_own_places():
    own = {"out": "/a", "threads": "3", "data.root": "/b", "cache.root": "/c", "engine.temp": "/d"}
    assert play(refuse_other_options, options(), options(**own)) == (None, None)


def test_other_versions_are_refused(monkeypatch):
    def check(group, version):
        versions = {"lkgrag": version, "python": "3.11.9", "torch": "2.13.0"}
        # Threads share the module; each looks it up in turn.
        with lock:
            monkeypatch.setattr(agreement, "environment", lambda: versions)
            monkeypatch.setattr(agreement, "_compare", lambda g, v, *w: found.append((v, w)))
            refuse_other_versions(group)
        compare(group, *found_of(version))

    compare, lock, found = agreement._compare, threading.Lock(), []

    def found_of(version):
        values, words = next(f for f in found if f[0].get("lkgrag") == version)
        return values, *words

    assert play(check, "1.0", "1.0") == (None, None)
    one, other = play(check, "1.0", "1.1")
    assert one == other
    assert "has lkgrag 1.1, process 0" in one
    assert "lkgrag 1.0: install the same versions on every machine" in one


def test_edited_code_has_another_sum(tmp_path, monkeypatch):
    before = agreement.hash_sources()
    assert before == agreement.hash_sources()
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(agreement, "__file__", str(tmp_path / "run" / "agreement.py"))
    (tmp_path / "a.py").write_text("x = 1")
    one = agreement.hash_sources()
    (tmp_path / "a.py").write_text("x = 2")
    assert len({before, one, agreement.hash_sources()}) == 3


def test_other_data_and_other_stages_are_refused():
    one, other = play(refuse_other_data, {"files": "a"}, {"files": "b"})
    assert one == other
    assert "has other data (sum" in one
    assert one.endswith("copy the same files to every machine")
    assert play(refuse_other_data, {"files": "a"}, {"files": "a"}) == (None, None)
    lists = np.arange(4)
    one, _ = play(refuse_other_stages, [lists], [lists[::-1].copy()])
    assert "has other finished stages" in one
    assert "cache.root" in one
    assert play(refuse_other_stages, [lists], [lists.copy()]) == (None, None)


def test_a_folder_that_is_not_shared_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(agreement, "SEEN", 0.2)

    def check(group, folder):
        refuse_other_folders(group, {"out": folder})

    assert play(check, tmp_path / "a", tmp_path / "a") == (None, None)
    one, other = play(check, tmp_path / "a", tmp_path / "b")
    assert one == other
    assert f"does not see the out={tmp_path / 'a'} of process 0" in one
    assert f"but has {tmp_path / 'b'}: set out= to a folder that all machines see" in one
    assert list((tmp_path / "a").iterdir()) == []
    assert not (tmp_path / "b").exists()


def test_one_process_is_compared_with_nobody(tmp_path):
    refuse_other_versions(ALONE)
    refuse_other_options(ALONE, {})
    refuse_other_data(ALONE, {})
    refuse_other_stages(ALONE, [])
    refuse_other_folders(ALONE, {"out": tmp_path / "none"})
    assert not (tmp_path / "none").exists()
