"""Readers: from a folder of raw files to :class:`~lkgrag.data.Tables`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.readers.recbole import read_recbole
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Tables

ATOMIC = (".inter", ".item", ".user", ".kg", ".link")


def data_folder(config: DataConfig) -> Path:
    """The folder of the raw files: ``data.root``, or the built-in data set in the cache.

    Raises:
        DataError: ``data.root`` is no folder.
        AssetError: the built-in data set could not be fetched.
    """
    if config.root is not None:
        root = Path(config.root).expanduser()
        if not root.is_dir():
            raise DataError(f"data.root={config.root}: no such folder")
        return root
    from lkgrag.data.assets import fetch_dataset

    return fetch_dataset(config.name)


def raw_files(folder: Path, config: DataConfig) -> list[Path]:
    """The files that a data set is read from, in a fixed order.

    Raises:
        DataError: the interactions are not there; the message tells what is.
    """
    files = [folder / f"{config.name}{suffix}" for suffix in ATOMIC]
    if not files[0].is_file():
        there = sorted(p.name for p in folder.glob("*.inter"))
        hint = f"; there is {', '.join(there)}: set data.name to its stem" if there else ""
        raise DataError(f"{files[0]}: no such file{hint}")
    return [f for f in files if f.is_file()]


def read_tables(config: DataConfig) -> tuple[Tables, str]:
    """Read a data set.

    Returns:
        The tables, and a SHA-256 over the raw files.

    Raises:
        DataError: a file is missing or broken.
    """
    folder = data_folder(config)
    files = raw_files(folder, config)
    sha = hashlib.sha256()
    for file in files:
        sha.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return read_recbole(folder, config.name), sha.hexdigest()


__all__ = ["data_folder", "raw_files", "read_recbole", "read_tables"]
