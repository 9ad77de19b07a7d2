"""Files between the steps of counting: arrays and tables, written whole, and named where one is missing or broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.errors import DataError, short
from lkgrag.utils.files import atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file of an error.

    Raises:
        DataError: the file is missing or broken.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: missing; count anew with overwrite=true") from None
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        why = short(str(error).splitlines()[0]) if str(error) else type(error).__name__
        raise DataError(f"{path}: broken ({why}); count anew with overwrite=true") from error


def read_part(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table, or some columns of it.

    Raises:
        DataError: the file is missing or broken.
    """
    with _named(path):
        return pq.read_table(path, columns=columns)


def count_rows(path: Path) -> int:
    """The number of rows of a table.

    Raises:
        DataError: the file is missing or broken.
    """
    with _named(path):
        return int(pq.read_metadata(path).num_rows)


def save_array(path: Path, values: NDArray) -> None:
    """Write an array, atomically."""
    with atomic(path) as tmp, open(tmp, "wb") as file:
        np.save(file, values)


def load_array(path: Path, is_mapped: bool = False) -> NDArray:
    """Read an array of :func:`save_array`.

    Args:
        path: the file.
        is_mapped: whether only what is looked at is read.

    Raises:
        DataError: the file is missing or broken.
    """
    with _named(path):
        values: NDArray = np.load(path, mmap_mode="r" if is_mapped else None, allow_pickle=False)
        return values


def save_arrays(path: Path, arrays: dict[str, NDArray]) -> None:
    """Write arrays by name, atomically."""
    with atomic(path) as tmp, open(tmp, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: Path) -> dict[str, NDArray]:
    """Read arrays of :func:`save_arrays`.

    Raises:
        DataError: the file is missing or broken.
    """
    with _named(path), np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
