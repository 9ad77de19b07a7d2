"""The contract of a reader, and the text handling that all readers share.

A reader of one's own is a subclass with three short methods and one call of
:func:`register_reader`.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.errors import DataError, nearest

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Tables

#: A longer line is not one of these formats; it would only fill the memory.
LONGEST_LINE = 16 * 1024 * 1024


class Reader(ABC):
    """Reads one layout of files.

    Attributes:
        name: the word for ``data.reader``.
    """

    name: str

    @abstractmethod
    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The files that are read, those that must be there first; may name absent ones."""

    @abstractmethod
    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read them.

        Raises:
            DataError: a file is missing or broken; the message names file, line and field.
        """

    def matches(self, folder: Path, config: DataConfig) -> bool:
        """Whether the folder holds this layout: by default, its first file is there."""
        return self.files(folder, config)[0].is_file()


def read_lines(path: Path, encoding: str = "utf-8-sig") -> Iterator[str]:
    """Yield the lines of a text file, plain or gzipped, without their ends.

    Raises:
        DataError: no such file, a truncated or broken gzip, bytes that are no text in the encoding,
            or a NUL byte; the message names the line.
    """
    number = 0
    try:
        with open(path, "rb") as raw:
            file = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
                if b"\0" in line:
                    raise DataError(f"{path}: line {number}: a NUL byte; this is no text file")
                if len(line) == LONGEST_LINE:
                    raise DataError(f"{path}: line {number}: longer than {LONGEST_LINE} bytes")
                yield line.decode(
                    encoding if number == 1 else encoding.removesuffix("-sig")
                ).rstrip("\r\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: after line {number}: a truncated or broken gzip file ({error}); fetch it again"
        ) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path}: line {number}: not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_separated(
    path: Path,
    separator: str = ",",
    columns: tuple[str, ...] | None = None,
    need: tuple[str, ...] = (),
    encoding: str = "utf-8-sig",
) -> pd.DataFrame:
    """Read a table of strings.

    Args:
        path: the file, ``.gz`` or not.
        separator: between fields; a comma is read as CSV with quotes, all others literally.
        columns: names of the columns where the file has no header.
        need: columns that must be there.
        encoding: of the text.

    Raises:
        DataError: as :func:`read_lines`; an empty file; a missing column (with the nearest one); a row
            with another number of fields than the header.
    """
    lines = read_lines(path, encoding)
    records: Iterator[list[str]]
    if separator == ",":
        records = _csv_rows(csv.reader(lines, strict=True), path)
    else:
        records = (line.split(separator) for line in lines)
    rows: list[list[str]] = []
    header = list(columns) if columns else []
    for number, row in enumerate(records, start=1):
        if not header:
            header = [name.strip() for name in row]
            _check_header(header, need, path)
            continue
        if not row or row == [""]:
            continue
        if len(row) != len(header):
            raise DataError(
                f"{path}: line {number}: {len(row)} fields where there should be {len(header)} "
                f"({', '.join(header)})"
            )
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: the file is empty, or holds no row")
    return pd.DataFrame(rows, columns=header, dtype=object)


def _csv_rows(source: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    number = 0
    while True:
        try:
            row = next(source)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}: near line {number + 1}: broken CSV ({error})") from None
        number += 1
        yield row


def _check_header(header: list[str], need: tuple[str, ...], path: Path) -> None:
    for column in need:
        if column not in header:
            raise DataError(
                f"{path}: line 1 has no column '{column}'.{nearest(column, header)} "
                f"Columns there: {', '.join(header)[:200]}"
            )
    twice = next((c for c in header if header.count(c) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: line 1 names the column '{twice}' twice")


def floats(table: pd.DataFrame, column: str, path: Path, first_line: int = 2) -> pd.Series:
    """A column of strings as floats; empty fields are NaN.

    Raises:
        DataError: a value is not a finite number; the message names the line.
    """
    text = table[column].str.strip()
    values = pd.to_numeric(text.where(text != "", None), errors="coerce").astype(float)
    bad = (values.isna() & (text != "")) | values.isin([float("inf"), float("-inf")])
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise DataError(
            f"{path}: line {row + first_line}, field '{column}': {text.iloc[row][:40]!r} "
            "is not a finite number"
        )
    return values


def split_values(cells: pd.Series, separator: str) -> list[list[str]]:
    """Cells like ``a|b`` as lists of strings."""
    return [[v.strip() for v in cell.split(separator) if v.strip()] for cell in cells]


_READERS: dict[str, Reader] = {}


def register_reader(reader: Reader) -> Reader:
    """Make a reader known by its name; later ones are asked first."""
    _READERS[reader.name] = reader
    return reader


def readers() -> dict[str, Reader]:
    """All registered readers by name."""
    return dict(_READERS)
