"""Files are whole or not there, and broken ones are told in one line."""

import json
import math
import os
import stat

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag.errors import LkgragError
from lkgrag.utils import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(error):
    """The one line of an error."""
    text = str(error.value)
    assert "\n" not in text
    return text


def test_the_name_is_given_only_at_the_end(tmp_path):
    target = tmp_path / "x.txt"
    with files.atomic(target) as tmp:
        tmp.write_text("half")
        assert tmp.parent == tmp_path
        assert not target.exists()
    assert target.read_text() == "half"
    assert names(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, fault):
    target = tmp_path / "x.txt"
    target.write_text("as it was")

    def write():
        with files.atomic(target) as tmp:
            tmp.write_text("half")
            raise fault

    with pytest.raises(fault):
        write()
    assert target.read_text() == "as it was"
    assert names(tmp_path) == ["x.txt"]


def test_folders_above_are_made(tmp_path):
    target = tmp_path / "a" / "b" / "x.txt"
    with files.atomic(target) as tmp:
        tmp.touch()
    assert target.exists()


@pytest.mark.parametrize("there", [False, True])
def test_everyone_may_read_what_is_written(tmp_path, there):
    target = tmp_path / "x.txt"
    if there:
        target.write_text("")
        target.chmod(0o600)
    with files.atomic(target) as tmp:
        tmp.write_text("x")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_disk_that_fails_at_the_end_leaves_the_old_file(tmp_path, monkeypatch, call):
    target = tmp_path / "x.txt"
    target.write_text("as it was")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(LkgragError) as error, files.atomic(target) as tmp:
        tmp.write_text("new")
    monkeypatch.undo()
    assert f"{target}: No space left on device" in refused(error)
    assert "out=" in str(error.value)
    assert target.read_text() == "as it was"
    assert names(tmp_path) == ["x.txt"]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    for call in ("fsync", "replace"):
        real = getattr(os, call)
        monkeypatch.setattr(
            files.os, call, lambda *args, real=real, call=call: calls.append(call) or real(*args)
        )
    with files.atomic(tmp_path / "x.txt") as tmp:
        tmp.write_text("x")
    assert calls == ["fsync", "replace"]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LkgragError) as error, files.atomic(tmp_path / "file" / "x.txt"):
        pytest.fail("there is nowhere to write")
    assert str(tmp_path / "file" / "x.txt") in refused(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is refused to the superuser")
def test_a_folder_that_is_not_writable_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(LkgragError) as error, files.atomic(tmp_path / "x.txt"):
        pytest.fail("there is nowhere to write")
    assert str(tmp_path / "x.txt") in refused(error)


def test_sweep_deletes_temporary_files_at_any_depth_and_nothing_else(tmp_path):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    kept = [tmp_path / "x.tmp", deep / ".lock", deep / "x.txt"]
    gone = [tmp_path / ".x.txt.abc.tmp", deep / ".y.txt.def.tmp"]
    for path in (*kept, *gone):
        path.touch()
    files.sweep(tmp_path)
    assert [path.exists() for path in kept] == [True] * 3
    assert [path.exists() for path in gone] == [False] * 2


def test_sweep_knows_the_names_that_atomic_gives(tmp_path):
    with files.atomic(tmp_path / "x.txt") as tmp:
        assert tmp.exists()
        files.sweep(tmp_path)
        assert not tmp.exists()
        tmp.touch()


def test_a_folder_of_others_is_told_by_the_first_name(tmp_path):
    for name in ("b", "a", "c"):
        (tmp_path / name).touch()
    assert files.find_foreign_entry(tmp_path, lambda folder: False) == "a"
    assert files.find_foreign_entry(tmp_path, lambda folder: False, ["a"]) == "b"


def test_a_folder_of_ours_or_an_empty_one_may_be_emptied(tmp_path):
    refuse = lambda folder: False  # noqa: E731
    assert files.find_foreign_entry(tmp_path / "none", refuse) is None
    assert files.find_foreign_entry(tmp_path, refuse) is None
    (tmp_path / ".lock").touch()
    assert files.find_foreign_entry(tmp_path, refuse, [".lock"]) is None
    asked = []
    assert files.find_foreign_entry(tmp_path, lambda folder: asked.append(folder) or True) is None
    assert asked == [tmp_path]


def test_a_file_is_no_folder_of_ours(tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(NotADirectoryError):
        files.find_foreign_entry(tmp_path / "x", lambda folder: True)


def test_numbers_without_a_word_in_json_become_null():
    value = {"a": [1.5, math.nan, (math.inf, -math.inf)], "b": {"c": math.nan}, "d": "nan", "e": 1}
    assert files.nan_to_none(value) == {
        "a": [1.5, None, [None, None]],
        "b": {"c": None},
        "d": "nan",
        "e": 1,
    }


def test_numbers_of_numpy_become_null_too():
    assert files.nan_to_none([np.float64("nan"), np.float64(1.5)]) == [None, 1.5]


def test_json_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "x.json"
    value = {"z": "Amélie", "a": [1, 2.5, None, True]}
    files.write_json(path, value)
    assert files.read_json(path) == value
    text = path.read_text(encoding="utf-8")
    assert "Amélie" in text
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["z", "a"]


def test_json_of_what_it_cannot_say_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, 1)
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert files.read_json(path) == 1
    assert names(tmp_path) == ["x.json"]


def test_a_table_is_read_as_it_was_written_without_its_index(tmp_path):
    path = tmp_path / "x.parquet"
    table = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[7, 9])
    files.write_parquet(path, table)
    pd.testing.assert_frame_equal(files.read_parquet(path), table.reset_index(drop=True))


def test_tensors_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "x.safetensors"
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "whole": base,
        "again": base,
        "turned": base.T,
        "row": base[1],
        "learned": torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        "none": torch.zeros(0, 3),
    }
    files.write_safetensors(path, tensors)
    found = files.read_safetensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


READERS = {
    "json": (files.read_json, lambda path: files.write_json(path, list(range(99)))),
    "parquet": (
        files.read_parquet,
        lambda path: files.write_parquet(path, pd.DataFrame({"a": range(99)})),
    ),
    "safetensors": (
        files.read_safetensors,
        lambda path: files.write_safetensors(path, {"a": torch.arange(99)}),
    ),
}


@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "other", "a folder"])
@pytest.mark.parametrize("kind", READERS)
def test_a_missing_or_broken_file_is_named_in_one_line(tmp_path, kind, harm):
    read, write = READERS[kind]
    path = tmp_path / f"x.{kind}"
    if harm == "a folder":
        path.mkdir()
        # An empty folder of tables is no table either.
        (path / f"y.{kind}").write_bytes(b"\x00not\n\xff")
    elif harm == "other":
        path.write_bytes(b"\x00not\n\xff what it says\n")
    elif harm != "missing":
        write(path)
        os.truncate(path, 0 if harm == "empty" else path.stat().st_size // 2)
    with pytest.raises(LkgragError) as error:
        read(path)
    assert str(path) in refused(error)


@pytest.mark.parametrize("harm", ["missing", "empty"])
def test_a_broken_table_is_told_with_what_to_do(tmp_path, harm):
    if harm == "empty":
        (tmp_path / "x.parquet").touch()
    with pytest.raises(LkgragError, match="delete it and run the command again"):
        files.read_parquet(tmp_path / "x.parquet", "delete it and run the command again")


def test_a_tensor_that_holds_nothing_has_a_sum_whatever_its_stride(tmp_path):
    empty = torch.as_strided(torch.zeros(0, dtype=torch.int64), (0,), (0,))
    files.write_safetensors(tmp_path / "x.safetensors", {"x": empty}, has_sum=True)
    assert len(files.read_safetensors(tmp_path / "x.safetensors")["x"]) == 0
    whole = torch.arange(3, dtype=torch.int16)
    assert bytes(files.tensor_bytes(whole)) == b"\0\0\1\0\2\0"
