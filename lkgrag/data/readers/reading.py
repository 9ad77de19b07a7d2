"""A data set read: its folder, its tables, and a hash of its files."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.assets.store import fetch_dataset
from lkgrag.data.memory import refuse_reading
from lkgrag.data.readers.headers import explain_choice, refuse_header
from lkgrag.data.readers.resolver import OPTION, find_reader
from lkgrag.data.tables import Tables
from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.files import user_path
from lkgrag.utils.plugins import is_custom, source_hash

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.readers.base import Reader


def data_folder(config: DataConfig) -> Path:
    """The folder of the raw files: ``data.root``, or the built-in data set in the cache.

    Raises:
        DataError: ``data.root`` is no folder.
        AssetError: the built-in data set could not be fetched.
    """
    if config.root is not None:
        root = user_path(config.root, "data.root")
        if root.exists() and not root.is_dir():
            raise DataError(
                f"data.root={config.root}: a file, not a folder; give the folder that holds it"
            )
        if not root.is_dir():
            raise DataError(
                f"data.root={config.root}: no such folder; give the one that holds the files"
            )
        return root
    return fetch_dataset(config.name)


def read_tables(config: DataConfig) -> tuple[Tables, str]:
    """Read a data set.

    Returns:
        The tables, and a SHA-256 over the names and bytes of the files that were read, and over the
        source of a custom reader.

    Raises:
        DataError: a file is missing or broken.
        ConfigError: there is no such reader, it takes no ``data.columns``, or a custom one fails.
    """
    refuse_reading(config.reader)
    folder = data_folder(config)
    reader = find_reader(folder, config)
    if config.columns and not reader.renames:
        raise ConfigError(
            f"data.columns: files of the reader '{reader.name}' have fixed columns; leave it out"
        )
    why = explain_choice(reader, folder, config)
    try:
        tables = _read(reader, folder, config)
    except DataError as error:
        # A wrong header may mean a wrong reader.
        raise DataError(f"{error}{why}") if "line 1 " in str(error) else error from error
    refuse_header(tables, why)
    return tables, _digest(reader, folder, config)


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


def _read(reader: Reader, folder: Path, config: DataConfig) -> Tables:
    """The tables of a reader; what a custom one raises becomes one line."""
    label = f"{OPTION}={config.reader}: read() of {type(reader).__name__}"

    def tell(error: BaseException) -> str:
        return f"{label} fails ({type(error).__name__}: {error}); --debug shows where"

    with guard_custom_code(tell) if is_custom(type(reader)) else nullcontext():
        tables = reader.read(folder, config)
    if not isinstance(tables, Tables):
        raise ConfigError(f"{label} must return lkgrag.data.Tables, got {type(tables).__name__}")
    return tables


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
