"""Readers: from a folder of raw files to :class:`~lkgrag.data.Tables`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.memory import refuse_reading
from lkgrag.data.readers.amazon import Amazon2014
from lkgrag.data.readers.base import Reader, readers, register_reader
from lkgrag.data.readers.movielens import MovieLens100K, MovieLensCSV, MovieLensDat
from lkgrag.data.readers.recbole import RecBole, read_recbole
from lkgrag.errors import ConfigError, DataError, LkgragError, nearest
from lkgrag.utils.plugins import import_class, source_hash

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.tables import Tables


def data_folder(config: DataConfig) -> Path:
    """The folder of the raw files: ``data.root``, or the built-in data set in the cache.

    Raises:
        DataError: ``data.root`` is no folder.
        AssetError: the built-in data set could not be fetched.
    """
    if config.root is not None:
        root = Path(config.root).expanduser()
        if root.exists() and not root.is_dir():
            raise DataError(
                f"data.root={config.root}: a file, not a folder; give the folder that holds it"
            )
        if not root.is_dir():
            raise DataError(
                f"data.root={config.root}: no such folder; give the one that holds the files"
            )
        return root
    from lkgrag.data.assets.store import fetch_dataset

    return fetch_dataset(config.name)


def find_reader(folder: Path, config: DataConfig) -> Reader:
    """The reader named by ``data.reader``, or the one whose layout the folder holds.

    Args:
        folder: of the raw files.
        config: ``reader`` is ``auto``, a registered name, or ``package.module:Class``.

    Raises:
        ConfigError: no reader of that name, or it cannot be imported.
        DataError: no reader knows the folder's layout; the message tells what is there.
    """
    known = readers()
    if ":" in config.reader:
        cls: type[Reader] = import_class(config.reader, "data.reader", Reader)
        return cls()
    if config.reader != "auto":
        if config.reader not in known:
            raise ConfigError(
                f"data.reader={config.reader}: no such reader.{nearest(config.reader, known)} "
                f"There are: auto, {', '.join(known)}; write your own as package.module:Class"
            )
        return known[config.reader]
    for reader in reversed(known.values()):
        if reader.matches(folder, config):
            return reader
    stems = sorted(p.stem for p in folder.glob("*.inter"))
    if stems:
        raise DataError(
            f"{folder / config.name}.inter: no such file; there is {', '.join(stems[:5])}: "
            "set data.name to one of these"
        )
    there = sorted(p.name for p in folder.iterdir())[:8]
    raise DataError(
        f"data.root={folder}: no known data set there. It holds: {', '.join(there) or 'nothing'}. "
        f"Expected: {config.name}.inter (RecBole), ratings.csv and movies.csv, u.data, ratings.dat "
        "(MovieLens), or ratings_*.csv or reviews_*.json, and meta_*.json (Amazon)"
    )


def read_tables(config: DataConfig) -> tuple[Tables, str]:
    """Read a data set.

    Returns:
        The tables, and a SHA-256 over the names and bytes of the files that were read, and the source of
        a reader of someone else's.

    Raises:
        DataError: a file is missing or broken.
    """
    refuse_reading(config.reader)
    folder = data_folder(config)
    reader = find_reader(folder, config)
    if config.columns and not reader.renames:
        raise ConfigError(
            f"data.columns: files of the reader '{reader.name}' have fixed columns; leave it out"
        )
    return reader.read(folder, config), _digest(reader, folder, config)


def files_digest(config: DataConfig) -> str | None:
    """What :func:`read_tables` gives beside the tables, without reading them.

    Returns:
        None where there is nothing to compare: no ``data.root``, or it holds no data set now.
    """
    if config.root is None:
        return None
    try:
        folder = data_folder(config)
        return _digest(find_reader(folder, config), folder, config)
    except LkgragError:
        return None


def _digest(reader: Reader, folder: Path, config: DataConfig) -> str:
    sha = hashlib.sha256(reader.name.encode())
    # A reader that was edited gives other data of the same files.
    sha.update((source_hash(type(reader)) or "").encode())
    for file in reader.files(folder, config):
        if file.is_file():
            with open(file, "rb") as handle:
                content = hashlib.file_digest(handle, "sha256").digest()
            sha.update(file.name.encode() + b"\0" + content)
    return sha.hexdigest()


for _reader in (Amazon2014(), MovieLensDat(), MovieLens100K(), MovieLensCSV(), RecBole()):
    register_reader(_reader)

__all__ = [
    "Reader",
    "data_folder",
    "files_digest",
    "find_reader",
    "read_recbole",
    "read_tables",
    "readers",
    "register_reader",
]
