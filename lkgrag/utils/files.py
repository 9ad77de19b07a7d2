"""Files: written under a temporary name and renamed, so that none is ever half there."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.errors import LkgragError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    Raises:
        LkgragError: the folder cannot be written or the disk is full; ``path`` is as it was.
    """
    path = Path(path)
    tmp: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        tmp = Path(name)
        yield tmp
        with open(tmp, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(tmp, 0o644)
        os.replace(tmp, path)
    except OSError as error:
        raise LkgragError(
            f"cannot write {path}: {error.strerror or error}; free space, or choose another out= and "
            "cache.root="
        ) from error
    finally:
        if tmp is not None:
            tmp.unlink(missing_ok=True)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Delete the temporary files that a killed process left below a folder.

    Only to be called by who holds the folder's lock: a living process' files look the same.
    """
    for path in Path(folder).rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def not_ours(
    folder: Path, ours: Callable[[Path], bool], passed_over: Collection[str] = ()
) -> str | None:
    """The name of what is in a folder that is not ours to empty; None where it is, or there is nothing.

    Args:
        folder: that is to be written.
        ours: whether a folder with something in it is one of those that may be replaced.
        passed_over: names that do not count.

    Raises:
        OSError: it is no folder, or cannot be read.
    """
    if not folder.exists():
        return None
    names = {entry.name for entry in folder.iterdir()} - set(passed_over)
    return min(names) if names and not ours(folder) else None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON, keys in the order given, atomically; NaN and infinities become null."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic(path) as tmp:
        tmp.write_text(text + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """The value with null for every number that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read JSON.

    Raises:
        LkgragError: the file is missing or broken.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LkgragError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise LkgragError(f"{path}: not readable as JSON ({error})") from error


def write_parquet(path: str | os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table without its index, atomically."""
    with atomic(path) as tmp:
        table.to_parquet(tmp, index=False)


def read_parquet(path: str | os.PathLike[str], advice: str = "make it again") -> pd.DataFrame:
    """Read a table.

    Args:
        path: the file.
        advice: what to do about a missing or broken one.

    Raises:
        LkgragError: the file is missing or broken.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise LkgragError(f"{path}: no such file; {advice}") from None
    except (OSError, ValueError) as error:
        raise LkgragError(f"{path}: broken Parquet file ({error}); {advice}") from error


def write_safetensors(
    path: str | os.PathLike[str], tensors: dict[str, Any], metadata: dict[str, str] | None = None
) -> None:
    """Write torch tensors as safetensors, atomically; one of several names is written under each."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path) as tmp:
        try:
            save_file(_apart(tensors), tmp, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def _apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors on the CPU, none of which shares its memory with another: such are not written."""
    out, places = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        out[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return out


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read torch tensors.

    Raises:
        LkgragError: the file is missing or broken.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise LkgragError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise LkgragError(
            f"{path}: broken safetensors file ({error}); delete it and run again"
        ) from error
