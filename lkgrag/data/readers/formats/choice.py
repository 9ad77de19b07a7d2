"""The format of a file, by its suffix."""

from __future__ import annotations

from pathlib import Path

from lkgrag.data.readers.formats.base import TableFile
from lkgrag.data.readers.formats.columns import ArrowTable, ParquetTable
from lkgrag.data.readers.formats.lines import JsonTable, TextTable
from lkgrag.data.readers.packed import PACKINGS, existing, unpacked_name
from lkgrag.errors import DataError

#: Suffixes of text tables.
TEXT = (".csv", ".tsv", ".tab", ".psv", ".txt")
#: By suffix: how such a file is read.
FORMATS: dict[str, type[TableFile]] = {
    **dict.fromkeys(TEXT, TextTable),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), JsonTable),
    **dict.fromkeys((".parquet", ".pq"), ParquetTable),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), ArrowTable),
}


def suffix_of(path: Path) -> str:
    """The suffix of a file below its packing, in small letters: ``.csv`` of ``A.CSV.gz``."""
    return Path(unpacked_name(path)).suffix.lower()


def is_table(path: Path) -> bool:
    """Whether a file, or a folder of Parquet files, is read as a table, by its name."""
    if path.is_dir():
        return suffix_of(path) in (".parquet", ".pq")
    return path.is_file() and suffix_of(path) in FORMATS


def open_file(path: Path, separator: str | None = None) -> TableFile:
    """The table of a file, by its suffix."""
    kind = FORMATS[suffix_of(path)]
    if issubclass(kind, ParquetTable | ArrowTable) and path.suffix in PACKINGS[1:]:
        raise DataError(f"{path}: a packed {suffix_of(path)} file is not read; unpack it")
    return kind(existing(path), separator)
