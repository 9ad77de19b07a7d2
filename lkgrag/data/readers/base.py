"""The contract of a reader.

A custom reader is a subclass with a name and two methods, ``files`` and ``read``. ``data.reader`` finds it
as ``package.module:Class``; :mod:`lkgrag.data.readers.resolver` says how it gets a shorter name. What
text files have in common is in :mod:`lkgrag.data.readers.text`, and importable from here too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.readers.text import (
    check_header,
    read_lines,
    read_rows,
    read_separated,
    split_values,
    table_of,
)

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.tables import Tables

__all__ = [
    "Reader",
    "check_header",
    "read_lines",
    "read_rows",
    "read_separated",
    "split_values",
    "table_of",
]


class Reader(ABC):
    """Reads one layout of files. A subclass is built without arguments.

    Attributes:
        name: the word for ``data.reader``.
        renames: whether it follows ``data.columns``; if not, that option is refused.
    """

    name: str
    renames: bool = False

    def follows_columns(self, config: DataConfig) -> bool:
        """Whether it can do what ``data.columns`` asks for; by default, what :attr:`renames` says."""
        return self.renames

    @abstractmethod
    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The files that are read, the one that must be there first; others may be absent."""

    @abstractmethod
    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the files.

        Raises:
            DataError: a file is missing or broken; the message names file, line and field.
        """

    def matches(self, folder: Path, config: DataConfig) -> bool:
        """Whether the folder holds this layout; by default, whether its first file is there."""
        return self.files(folder, config)[0].is_file()
