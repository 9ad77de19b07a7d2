"""Reading and writing of files: each is written under a temporary name, then renamed, so none is partial."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lkgrag.errors import ConfigError, LkgragError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class TensorFile(Protocol):
    """An open safetensors file, whose class has no public name."""

    def keys(self) -> list[str]:
        """Names of the tensors."""

    def get_tensor(self, name: str) -> Tensor:
        """A tensor by its name, on the CPU."""

    def metadata(self) -> dict[str, str] | None:
        """Texts that the file also holds."""


def user_path(path: str | os.PathLike[str], option: str) -> Path:
    """A path that a user gave; ``~`` at its beginning is the home folder, as in a shell.

    Args:
        path: as given.
        option: that names it, for messages.

    Raises:
        ConfigError: it is no path, or empty, or ``~name`` names no user.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"{option}: must be a path as text, got {type(path).__name__}")
    text = os.fspath(path)
    if not isinstance(text, str) or "\0" in text:
        raise ConfigError(f"{option}: must be a path as text without NUL, got {text[:40]!r}")
    if not text:
        # Python would take it for the current folder.
        raise ConfigError(f"{option}: there is no path; name one, or . for the current folder")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{option}={text}: there is no such user; for a folder of that name write ./{text}"
        ) from None


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` if the block succeeds.

    Raises:
        LkgragError: the folder cannot be written, or the disk is full; ``path`` is unchanged.
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

    The caller must hold the folder's lock, because the files of a running process look the same.
    """
    for path in Path(folder).rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def find_foreign_entry(
    folder: Path, is_ours: Callable[[Path], bool], ignored: Collection[str] = ()
) -> str | None:
    """Look for a reason not to empty a folder: an entry in it that this package did not write.

    Args:
        folder: the folder that is to be written.
        is_ours: tells of a folder that is not empty whether this package wrote it and may replace it.
        ignored: names of entries that do not count.

    Returns:
        The name of such an entry; None if the folder is missing, empty or ours.

    Raises:
        OSError: the path is no folder, or cannot be read.
    """
    if not folder.exists():
        return None
    names = {entry.name for entry in folder.iterdir()} - set(ignored)
    return min(names) if names and not is_ours(folder) else None


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write JSON atomically, with the keys in their order. NaN and infinities become null."""
    text = json.dumps(nan_to_none(value), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic(path) as tmp:
        tmp.write_text(text + "\n", encoding="utf-8")


def nan_to_none(value: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, by None; also within lists and dictionaries."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: nan_to_none(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_none(v) for v in value]
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
    """Write a table atomically, without its index."""
    with atomic(path) as tmp:
        table.to_parquet(tmp, index=False)


def read_parquet(path: str | os.PathLike[str], advice: str = "make it again") -> pd.DataFrame:
    """Read a table.

    Args:
        path: the file.
        advice: what to do if the file is missing or broken.

    Raises:
        LkgragError: the file is missing or broken.
    """
    # Only here: commands that read no table do not wait for pandas.
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise LkgragError(f"{path}: no such file; {advice}") from None
    except (OSError, ValueError) as error:
        raise LkgragError(f"{path}: broken Parquet file ({error}); {advice}") from error


#: Key of a safetensors file's metadata for the sum of its contents.
SUM = "sha256"


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: dict[str, Tensor],
    metadata: dict[str, str] | None = None,
    has_sum: bool = False,
) -> None:
    """Write torch tensors as safetensors, atomically. A tensor with several names is written under each.

    Args:
        path: the file.
        tensors: by name.
        metadata: texts that the file also holds.
        has_sum: also write a sum of the contents, which :func:`read_safetensors` compares: for files that no
            ``done.json`` covers, such as checkpoints.
    """
    # Only here: commands that write no tensor do not wait for torch.
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path) as tmp:
        try:
            tensors = _unshare(tensors)
            if has_sum:
                metadata = {**(metadata or {}), SUM: hash_tensors(tensors.items(), metadata)}
            save_file(tensors, tmp, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def hash_tensors(tensors: Iterable[tuple[str, Tensor]], metadata: dict[str, str] | None) -> str:
    """SHA-256 of tensors with their names, types and shapes, and of texts, in any order of the names."""
    texts = {key: value for key, value in (metadata or {}).items() if key != SUM}
    total = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    parts = {}
    for name, tensor in tensors:
        part = hashlib.sha256(tensor_bytes(tensor))
        parts[name] = f"{name} {tensor.dtype} {list(tensor.shape)} {part.hexdigest()}\n"
    for name in sorted(parts):
        total.update(parts[name].encode())
    return total.hexdigest()


def tensor_bytes(tensor: Tensor) -> memoryview | bytes:
    """The bytes of a tensor's values, in their order."""
    # Only here, as above.
    import torch

    flat = tensor.detach().cpu().contiguous().flatten()
    # What holds nothing may have a stride by which it cannot be viewed.
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""


def check_sum(file: TensorFile) -> None:
    """Compare the contents of an open safetensors file with the sum in its metadata, if there is one.

    Raises:
        ValueError: they differ.
    """
    metadata = file.metadata() or {}
    tensors = ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118 (no dict)
    if SUM in metadata and hash_tensors(tensors, metadata) != metadata[SUM]:
        raise ValueError("its contents differ from their SHA-256")


def _unshare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy the tensors to the CPU so that no two share memory, which safetensors does not write."""
    out, places = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        out[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return out


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read torch tensors, onto the CPU.

    Raises:
        LkgragError: the file is missing or broken.
    """
    # Only here: commands that read no tensor do not wait for torch.
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        tensors = load_file(str(path))
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
        if SUM in metadata and hash_tensors(tensors.items(), metadata) != metadata[SUM]:
            raise ValueError("its contents differ from their SHA-256")
        return tensors
    except FileNotFoundError:
        raise LkgragError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise LkgragError(
            f"{path}: broken safetensors file ({error}); delete it and run again"
        ) from error
