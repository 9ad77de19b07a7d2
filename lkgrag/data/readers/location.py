"""Where a data set lies: in the folder itself, one level deeper, or in ZIP archives there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.readers.archives import unpack
from lkgrag.data.readers.formats import is_table, suffix_of
from lkgrag.data.readers.packed import unpacked_name
from lkgrag.data.readers.resolver import OPTION, find_reader, readers
from lkgrag.data.readers.table import TableReader
from lkgrag.errors import DataError
from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.readers.base import Reader

#: Name of the reader of any table.
TABLE = TableReader.name


@dataclass(frozen=True)
class Place:
    """A data set that was found.

    Attributes:
        folder: that the reader reads.
        reader: of its layout.
        config: options for the reader; where ``data.root`` is a file, ``name`` is that file's.
    """

    folder: Path
    reader: Reader
    config: DataConfig

    @property
    def why(self) -> str:
        """Why this reader was chosen, in words, and what to do if it is the wrong one."""
        first = self.reader.files(self.folder, self.config)[0].name
        if self.config.reader != "auto":
            return f"The reader '{self.reader.name}' was chosen by {OPTION}={self.config.reader}"
        return (
            f"The reader '{self.reader.name}' was chosen because of {first}; {OPTION} chooses another one, and "
            f"{OPTION}={TABLE} reads any table"
        )


def locate(folder: Path, config: DataConfig) -> Place:
    """Find the data set of a folder, and its reader.

    Args:
        folder: of ``data.root``, or of a built-in data set.
        config: options of the data. If ``root`` is a table, that file holds the interactions.

    Raises:
        ConfigError: no reader of that name, or it cannot be imported.
        DataError: no reader knows the layout, or several folders hold a data set.
    """
    root = None if config.root is None else user_path(config.root, "data.root")
    if root is not None and root.is_file() and is_table(root):
        return _place_of_file(root, config)
    found = _matching(folder, config)
    if found is not None:
        return found
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))
    deeper, errors = [], []
    for path in inside:
        try:
            place = _matching(path, config)
        except DataError as error:
            errors.append(error)
            continue
        if place is not None:
            deeper.append(place)
    if errors and not deeper:
        raise errors[0]
    if len(deeper) > 1:
        names = ", ".join(place.folder.name for place in deeper[:8])
        raise DataError(f"data.root={folder}: several folders hold a data set ({names}): give one")
    if deeper:
        return deeper[0]
    archives = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() == ".zip")
    if archives:
        return locate(unpack(archives), dataclasses.replace(config, root=None))
    return Place(folder, find_reader(folder, config), config)


def _matching(folder: Path, config: DataConfig) -> Place | None:
    """The data set of a folder; None where the reader, or every reader, says that there is none."""
    if config.reader != "auto":
        reader = find_reader(folder, config)
        return Place(folder, reader, config) if reader.matches(folder, config) else None
    known = readers()
    for reader in reversed(known.values()):
        if reader.matches(folder, config):
            table = known[TABLE]
            if (
                config.columns
                and not reader.follows_columns(config)
                and table.matches(folder, config)
            ):
                # Names of columns are given, so it is to be read by them.
                return Place(folder, table, config)
            return Place(folder, reader, config)
    return None


def _place_of_file(file: Path, config: DataConfig) -> Place:
    """The data set whose interactions are in a file.

    Raises:
        DataError: no reader reads this file.
    """
    name = unpacked_name(file)
    named = dataclasses.replace(config, name=name[: -len(suffix_of(file)) or None])
    known = readers()
    tried = (
        [find_reader(file.parent, named)]
        if config.reader != "auto"
        else [*reversed(known.values())]
    )
    if config.columns and config.reader == "auto":
        tried = [known[TABLE]]
    for reader in tried:
        for options in (named, config):
            # A reader may read several files of a name as one data set.
            files = reader.files(file.parent, options)
            if files[0] == file and reader.matches(file.parent, options):
                return Place(file.parent, reader, options)
    if config.reader not in ("auto", TABLE):
        raise DataError(
            f"data.root={config.root}: {OPTION}={config.reader} reads other files; give their folder, or leave "
            f"{OPTION} out"
        )
    return Place(file.parent, known[TABLE], named)
