"""Sums of a folder's files: whatever is changed in one of them is found, and named."""

import json
import random
import shutil

import pytest

from lkgrag.utils.sums import DONE, find_damage, find_extra, read_sums, write_done


@pytest.fixture
def folder(tmp_path):
    """A folder with files in it and below it, a lock, and their sums."""
    folder = tmp_path / "made"
    (folder / "below").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)) * 20)
    (folder / "below" / "b.txt").write_text("ä text\n")
    (folder / "empty").touch()
    (folder / ".lock").write_text("pid 1")
    write_done(folder, {"stage": "x", "seconds": 1.25e-07, "depends": {"k": [1, None], "ü": "ü"}})
    return folder


def flip(path, bit):
    """Turn over one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_a_whole_folder_has_no_damage(folder):
    assert set(read_sums(folder)) == {"a.bin", "below/b.txt", "empty"}
    assert find_damage(folder) is None
    content = json.loads((folder / DONE).read_text())
    assert (content["stage"], content["seconds"]) == ("x", 1.25e-07)
    (folder / ".lock").write_text("pid 2")
    (folder / "checkpoint.later").write_text("x")
    assert find_damage(folder) is None
    assert find_extra(folder) == ["checkpoint.later"]


@pytest.mark.parametrize("name", ["a.bin", "below/b.txt"])
def test_every_flipped_bit_is_found(folder, name):
    path = folder / name
    draw = random.Random(name)
    for bit in draw.sample(range(8 * path.stat().st_size), 40):
        flip(path, bit)
        assert str(path) in find_damage(folder)
        flip(path, bit)
    assert find_damage(folder) is None


def test_every_flipped_bit_of_the_sums_themselves_is_found(folder):
    path = folder / DONE
    for bit in random.Random(1).sample(range(8 * path.stat().st_size), 500):
        flip(path, bit)
        assert find_damage(folder) is not None, bit
        flip(path, bit)
    assert find_damage(folder) is None


def test_a_file_cut_short_filled_swapped_or_gone_is_found(folder):
    path = folder / "a.bin"
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole + b"\0", bytes(len(whole))):
        path.write_bytes(content)
        assert "a.bin: broken" in find_damage(folder)
    path.unlink()
    assert find_damage(folder) == f"{path}: no such file"
    path.mkdir()
    assert find_damage(folder) == f"{path}: no such file"
    path.rmdir()
    shutil.copy(folder / "below" / "b.txt", path)
    assert "a.bin: broken" in find_damage(folder)
    (folder / "empty").write_bytes(b"x")
    path.write_bytes(whole)
    assert "empty: broken" in find_damage(folder)


def test_only_what_is_selected_is_compared(folder):
    flip(folder / "a.bin", 3)
    assert find_damage(folder, lambda name: name == "empty") is None
    assert "a.bin" in find_damage(folder, lambda name: name == "a.bin")


def test_folders_of_older_versions_have_no_sums(folder):
    (folder / DONE).write_text('{"stage": "x", "depends": {}, "seconds": 1.0}\n')
    assert read_sums(folder) == {}
    assert find_damage(folder) is None
    assert find_extra(folder) == []
    (folder / DONE).unlink()
    assert find_damage(folder) is None


def test_sums_of_files_beside_the_folder(folder):
    (folder.parent / "weights").write_bytes(b"1234")
    write_done(folder, files=["a.bin", "../weights"])
    assert find_damage(folder) is None
    flip(folder.parent / "weights", 9)
    assert "weights: broken" in find_damage(folder)
