"""A data set read: its folder, its tables, and a hash of its files."""

from __future__ import annotations

import hashlib
import logging
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.assets.store import fetch_dataset
from lkgrag.data.memory import refuse_reading
from lkgrag.data.readers.archives import unpack
from lkgrag.data.readers.formats import is_table
from lkgrag.data.readers.headers import refuse_header
from lkgrag.data.readers.location import Place, locate
from lkgrag.data.readers.resolver import OPTION
from lkgrag.data.readers.text import HeaderError
from lkgrag.data.tables import Tables
from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.files import user_path
from lkgrag.utils.plugins import is_custom, source_hash
from lkgrag.utils.sums import hash_file

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.readers.base import Reader

log = logging.getLogger(__name__)


def data_folder(config: DataConfig) -> Path:
    """The folder of the raw files: of ``data.root``, or the built-in data set in the cache.

    ``data.root`` may also be a table, which lies in its folder, or a ZIP archive, which is unpacked to the cache.

    Raises:
        DataError: ``data.root`` is none of these, or the archive is broken.
        AssetError: the built-in data set could not be fetched.
    """
    if config.root is not None:
        root = user_path(config.root, "data.root")
        if root.is_file():
            # A table may itself be packed in a ZIP archive of its name.
            if is_table(root):
                return root.parent
            if root.suffix.lower() == ".zip":
                return unpack([root])
            raise DataError(
                f"data.root={config.root}: a file, not a folder, and no table (.csv, .tsv, .jsonl, .parquet) or "
                "ZIP archive; give the folder that holds it"
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
    place = locate(data_folder(config), config)
    reader = place.reader
    if config.columns and not reader.follows_columns(config):
        raise ConfigError(
            f"data.columns: files of the reader '{reader.name}' have fixed columns; leave it out, or set "
            "data.reader=table"
        )
    log.info("data: read from %s by the reader '%s'", place.folder, reader.name)
    tables = _read(place)
    refuse_header(tables, place.why)
    return tables, digest_files(reader, place.folder, place.config)


def files_digest(config: DataConfig) -> str | None:
    """What :func:`read_tables` gives beside the tables, without reading them.

    Returns:
        None where there is nothing to compare: no ``data.root``, or it holds no data set now.
    """
    if config.root is None:
        return None
    try:
        place = locate(data_folder(config), config)
        return digest_files(place.reader, place.folder, place.config)
    except LkgragError:
        return None


def _read(place: Place) -> Tables:
    """The tables of a reader; what a custom one raises becomes one line."""
    reader, folder, config = place.reader, place.folder, place.config
    label = f"{OPTION}={config.reader}: read() of {type(reader).__name__}"

    def tell(error: BaseException) -> str:
        return f"{label} fails ({type(error).__name__}: {error}); --debug shows where"

    with guard_custom_code(tell) if is_custom(type(reader)) else nullcontext():
        try:
            tables = reader.read(folder, config)
        except HeaderError as error:
            # A wrong header may be a wrong reader.
            raise DataError(f"{error}. {place.why}") from error
    if not isinstance(tables, Tables):
        raise ConfigError(f"{label} must return lkgrag.data.Tables, got {type(tables).__name__}")
    return tables


def digest_files(reader: Reader, folder: Path, config: DataConfig) -> str:
    """A SHA-256 over the names and bytes of the files that a reader reads, and over its code if it is a custom one."""
    sha = hashlib.sha256(reader.name.encode())
    # A reader that was edited gives other data of the same files.
    sha.update((source_hash(type(reader)) or "").encode())
    for file in reader.files(folder, config):
        if file.is_file():
            sha.update(file.name.encode() + b"\0" + bytes.fromhex(hash_file(file)))
    return sha.hexdigest()
