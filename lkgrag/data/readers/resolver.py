"""The registry of readers, and the reader of a folder.

``data.reader`` names a reader of this package, one registered by :func:`register_reader`, one that an
installed package names by an entry point of the group ``lkgrag.readers``, or any class as
``package.module:Class``.
"""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from lkgrag.data.readers.amazon import Amazon
from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.movielens import MovieLens100K, MovieLensCSV, MovieLensDat
from lkgrag.data.readers.packed import unpacked_name
from lkgrag.data.readers.recbole import RecBole, stem_of
from lkgrag.data.readers.table import TableReader, describe_tables
from lkgrag.errors import ConfigError, DataError, nearest
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import import_class

if TYPE_CHECKING:
    from pathlib import Path

    from lkgrag.config import DataConfig

#: Readers of this package; of those whose layout a folder has, the last one reads it.
BUILT_IN: tuple[type[Reader], ...] = (
    TableReader,
    Amazon,
    MovieLensDat,
    MovieLens100K,
    MovieLensCSV,
    RecBole,
)
#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.readers"
OPTION = "data.reader"

_BUILT_IN: dict[str, Reader] = {cls.name: cls() for cls in BUILT_IN}
_REGISTERED: dict[str, Reader] = {}


def register_reader(reader: Reader) -> Reader:
    """Make a reader known by its name in this process; later ones are asked first."""
    _REGISTERED[reader.name] = reader
    return reader


def readers() -> dict[str, Reader]:
    """All readers by name: those of this package, of installed packages, and registered ones.

    Raises:
        ConfigError: an entry point cannot be imported, or has the name of a built-in reader.
    """
    return {**_BUILT_IN, **_installed(), **_REGISTERED}


def find_reader(folder: Path, config: DataConfig) -> Reader:
    """The reader named by ``data.reader``, or the one whose layout the folder holds.

    Args:
        folder: of the raw files.
        config: ``reader`` is ``auto``, a name of :func:`readers`, or ``package.module:Class``.

    Raises:
        ConfigError: no reader of that name, or it cannot be imported.
        DataError: no reader knows the folder's layout; the message tells what is there.
    """
    if ":" in config.reader:
        return _build(import_class(config.reader, OPTION, Reader), config.reader)
    by_name = readers()
    if config.reader != "auto":
        if config.reader not in by_name:
            raise ConfigError(
                f"{OPTION}={config.reader}: no such reader.{nearest(config.reader, by_name)} "
                f"There are: auto, {', '.join(by_name)}; write your own as package.module:Class"
            )
        return by_name[config.reader]
    for reader in reversed(by_name.values()):
        if reader.matches(folder, config):
            return reader
    raise DataError(_no_layout(folder, config))


def _no_layout(folder: Path, config: DataConfig) -> str:
    """What a folder without a known layout holds, and what it should hold."""
    names = (unpacked_name(p) for p in folder.glob("*.inter*"))
    stems = sorted({stem_of(n) for n in names if n.endswith(".inter")})
    if stems:
        return (
            f"{folder / config.name}.inter: no such file; there is {', '.join(stems[:5])}: "
            "set data.name to one of these"
        )
    tables = describe_tables(folder, config)
    if tables is not None:
        return f"data.root={folder}: no known data set there. As a plain table: {tables}"
    there = sorted(p.name for p in folder.iterdir())[:8]
    return (
        f"data.root={folder}: no known data set there. It holds: {', '.join(there) or 'nothing'}. "
        f"Expected: {config.name}.inter (RecBole), ratings.csv and movies.csv, u.data, ratings.dat "
        "(MovieLens), reviews and meta_* (Amazon), or a table of interactions (.csv, .tsv, .jsonl, "
        f".parquet) with users and items{_advice(folder)}"
    )


def _advice(folder: Path) -> str:
    """What to do with files of other programs."""
    kinds = {".xlsx": "save the workbook as CSV", ".xls": "save the workbook as CSV"}
    kinds |= {
        ".7z": "unpack the archive",
        ".rar": "unpack the archive",
        ".tar": "unpack the archive",
    }
    kinds |= {
        ".tgz": "unpack the archive",
        ".bz2": "unpack it",
        ".xz": "unpack it",
        ".zst": "unpack it",
    }
    kinds |= {".pkl": "save the table as Parquet", ".h5": "save the table as Parquet"}
    kinds |= {".db": "export the tables as CSV", ".sqlite": "export the tables as CSV"}
    found = {
        p.name: kinds[p.suffix.lower()]
        for p in sorted(folder.iterdir())
        if p.suffix.lower() in kinds
    }
    return "".join(f"; {name}: {advice}" for name, advice in list(found.items())[:2])


def _build(cls: type[Reader], name: str) -> Reader:
    with guard_custom_code(lambda e: f"{OPTION}={name}: cannot be built without arguments ({e})"):
        return cls()


@functools.cache
def _installed() -> dict[str, Reader]:
    """The readers of installed packages by name."""
    installed: dict[str, Reader] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        reader = _build(import_class(point.value, GROUP, Reader, point.name), point.value)
        if reader.name in _BUILT_IN or reader.name in installed:
            raise ConfigError(
                f"{GROUP}={point.name}: another reader has the name '{reader.name}'; rename one"
            )
        installed[reader.name] = reader
    return installed
