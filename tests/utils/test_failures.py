import errno
import subprocess
import sys

import pytest
import torch

from lkgrag.errors import ConfigError, DataError
from lkgrag.utils.failures import LONGEST_MESSAGE, explain, guard_custom_code
from lkgrag.utils.plugins import import_class


def test_a_full_disk_is_told_with_what_to_do():
    error = explain(OSError(errno.ENOSPC, "No space left on device", "/data/x"))
    assert "/data/x" in str(error)
    assert "No space left" in str(error)
    assert "out=" in str(error)


def test_an_error_of_the_system_within_a_library_s_text_is_recognised():
    error = Exception("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "No space left" in str(explain(error))


def absurd():
    """What torch really raises on a CPU."""
    try:
        torch.empty(1 << 50)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has a petabyte")


def test_out_of_memory_names_the_settings_that_help():
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        absurd(),
    ):
        text = str(explain(error))
        for setting in ("training.micro_batch", "evaluation.batch_size", "prompt.max_tokens"):
            assert setting in text
        assert "\n" not in text


def test_a_fault_of_the_program_is_not_explained_away():
    for error in (ValueError("no"), KeyError("x"), RuntimeError("shape"), OSError("odd")):
        assert explain(error) is None


LONG = "the first word " + "x" * 5000 + " the last word"


@pytest.mark.parametrize("form", ["{error}", "{error!r}", "{name}: {error}; do this"])
def test_a_long_error_of_custom_code_is_shortened(form):
    def tell(error):
        return "option=x: " + form.format(error=error, name=type(error).__name__)

    with pytest.raises(ConfigError) as caught, guard_custom_code(tell):
        raise ValueError(LONG)
    line = str(caught.value)
    assert len(line) < 500
    for words in ("option=x: ", "the first word", "the last word", "--debug shows all"):
        assert words in line
    assert line.endswith("do this") == form.endswith("do this")
    with pytest.raises(ConfigError, match=r"^short$"), guard_custom_code(str):
        raise ValueError("short")


def test_long_errors_of_any_kind_are_shortened(tmp_path, monkeypatch):
    for kind, longest in ((DataError, LONGEST_MESSAGE), (KeyError, 500), (SystemExit, 500)):
        with pytest.raises((DataError, ConfigError)) as caught, guard_custom_code(str):
            raise kind(LONG)
        assert len(str(caught.value)) < longest + 60
    # What is not the error's own text is bounded, too.
    with pytest.raises(ConfigError) as caught, guard_custom_code(lambda e: f"{LONG}: {e}"):
        raise ValueError("short")
    assert len(str(caught.value)) < LONGEST_MESSAGE + 60
    (tmp_path / "long_module.py").write_text(f"raise ValueError({LONG!r})\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="cannot import long_module:X") as caught:
        import_class("long_module:X", "scorer.name", object)
    assert len(str(caught.value)) < 500


def test_an_error_without_a_text_of_its_own_is_told():
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(ConfigError, match="its MuteError has no text"), guard_custom_code(str):
        raise MuteError


LIMITED = """
import resource, sys, torch, pandas as pd
from pathlib import Path
from lkgrag.errors import LkgragError
from lkgrag.utils.files import write_json, write_parquet, write_safetensors
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
big = torch.arange(5000.0)
for name, write in {
    "a.json": lambda p: write_json(p, big.tolist()),
    "a.parquet": lambda p: write_parquet(p, pd.DataFrame({"x": torch.rand(5000).numpy()})),
    "a.safetensors": lambda p: write_safetensors(p, {"x": big}),
}.items():
    path = folder / name
    path.write_text("as it was")
    try:
        write(path)
    except LkgragError as error:
        assert str(path) in str(error), error
    else:
        raise SystemExit(f"{name}: written beyond the limit")
    assert path.read_text() == "as it was"
assert sorted(p.name for p in folder.iterdir()) == ["a.json", "a.parquet", "a.safetensors"]
"""


@pytest.mark.slow
def test_a_file_that_does_not_fit_leaves_the_old_one_and_no_rest(tmp_path):
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    folder = tmp_path / "files"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
