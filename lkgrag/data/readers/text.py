"""Text files that readers share: lines, rows and tables, whose errors name file and line."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from lkgrag.data.cleaning.columns import LINE
from lkgrag.data.readers.packed import open_binary, refuse_other_text
from lkgrag.errors import DataError, nearest

#: Characters of a header that a message shows.
SHOWN = 200
#: A longer line is not one of these formats; it would only fill the memory.
LONGEST_LINE = 16 * 1024 * 1024
#: Separators between which fields may be quoted.
QUOTED = (",", ";")
#: Separators that :func:`guess_separator` looks for; of equally frequent ones the first.
GUESSED = (",", "\t", ";", "|")


class HeaderError(DataError):
    """Line 1 lacks a column; perhaps another reader was meant."""


def read_lines(path: Path, encoding: str = "utf-8-sig") -> Iterator[str]:
    """Yield the lines of a text file, plain, gzipped or alone in a ZIP archive, without their ends.

    Raises:
        DataError: no such file, a truncated or broken archive, bytes that are no text in the encoding, lines
            that end with CR alone, or a NUL byte; the message names the line.
    """
    number = 0
    try:
        with open_binary(path) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
                if number == 1:
                    refuse_other_text(path, line)
                if b"\0" in line:
                    raise DataError(
                        f"{path}: line {number}: a NUL byte; this is no text file, give another one"
                    )
                if len(line) == LONGEST_LINE:
                    raise DataError(
                        f"{path}: line {number}: longer than {LONGEST_LINE} bytes; give a file of rows"
                    )
                yield line.decode(
                    encoding if number == 1 else encoding.removesuffix("-sig")
                ).rstrip("\r\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check data.root and data.name") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder where a file should be; move it away") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        kind = "ZIP archive" if path.suffix == ".zip" else "gzip file"
        raise DataError(
            f"{path}: after line {number}: a truncated or broken {kind} ({error}); fetch it again"
        ) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path}: line {number}: not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8, or convert "
            f"it by: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > NEW"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); check its permissions"
        ) from error


def read_rows(
    path: Path, separator: str = ",", encoding: str = "utf-8-sig", is_quoted: bool | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the fields of each row; empty lines are left out.

    Args:
        path: the file, ``.gz`` or not.
        separator: between fields.
        encoding: of the text.
        is_quoted: whether to read it as CSV with quotes, or literally; by default only a comma is.

    Raises:
        DataError: as :func:`read_lines`, or quotes that do not close.
    """
    lines = read_lines(path, encoding)
    if not (separator == "," if is_quoted is None else is_quoted):
        yield from ((n, line.split(separator)) for n, line in enumerate(lines, start=1) if line)
        return
    # As long as a line may be, like the fields of other formats; the csv module has one limit for all.
    csv.field_size_limit(max(LONGEST_LINE, csv.field_size_limit()))
    # Fields may hold line breaks, which `lines` has taken off.
    rows = csv.reader((f"{line}\n" for line in lines), delimiter=separator, strict=True)
    while True:
        start = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}: line {start}: broken CSV ({error}); a quote within a field is doubled"
            ) from None
        if row and row != [""]:
            yield start, row


def read_separated(
    path: Path,
    separator: str | None = ",",
    columns: tuple[str, ...] | None = None,
    need: tuple[str, ...] = (),
    encoding: str = "utf-8-sig",
) -> pd.DataFrame:
    """Read a table of strings; its index holds the numbers of the file's lines.

    Args:
        path: the file, packed or not.
        separator: between fields; a comma is read as CSV with quotes, all others literally. None: line 1 tells
            which, and a semicolon is read as a comma is.
        columns: names of the columns where the file has no header.
        need: columns that must be there.
        encoding: of the text.

    Raises:
        DataError: as :func:`read_rows`; an empty file; a missing column (with the nearest one); a row
            with another number of fields than the header.
    """
    header, records = open_table(path, separator, columns, encoding)
    check_header(header, need if columns is None else (), path)
    return table_of(records, header, path)


def open_table(
    path: Path,
    separator: str | None = ",",
    columns: tuple[str, ...] | None = None,
    encoding: str = "utf-8-sig",
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Read the header of a table, and then its rows as they are asked for.

    Args:
        path: the file, packed or not.
        separator: as for :func:`read_separated`.
        columns: names of the columns where the file has no header.
        encoding: of the text.

    Raises:
        DataError: as :func:`read_rows`, or an empty file.
    """
    is_quoted = None
    if separator is None:
        separator = guess_separator(next(read_lines(path, encoding), ""))
        is_quoted = separator in QUOTED
    records = read_rows(path, separator, encoding, is_quoted)
    if columns is not None:
        return list(columns), records
    _, first = next(records, (1, []))
    if not first:
        raise DataError(f"{path}: the file is empty; line 1 must name the columns")
    return [name.strip() for name in first], records


def guess_separator(header: str) -> str:
    """The separator of a table by its header; a comma where there is none."""
    line = re.sub(r'"[^"]*"', "", header)
    return max(GUESSED, key=lambda s: (line.count(s), -GUESSED.index(s)))


def table_of(
    records: Iterator[tuple[int, list[Any]]], header: list[str], path: Path
) -> pd.DataFrame:
    """Rows as a table, indexed by line.

    Raises:
        DataError: no row, or one with another number of fields than the header.
    """
    rows: list[list[str]] = []
    lines: list[int] = []
    for number, row in records:
        check_width(row, header, path, number)
        rows.append(row)
        lines.append(number)
    if not rows:
        raise DataError(f"{path}: the file is empty, or holds no row; fill it or remove it")
    return pd.DataFrame(rows, columns=header, dtype=object, index=pd.Index(lines, name=LINE))


def check_width(row: list[Any], header: list[str], path: Path, number: int) -> None:
    """Refuse a row that has not as many fields as the header.

    Raises:
        DataError: naming the line.
    """
    if len(row) != len(header):
        raise DataError(
            f"{path}: line {number}: {len(row)} {'field' if len(row) == 1 else 'fields'} where "
            f"there should be {len(header)} ({', '.join(header)[:SHOWN]}); check the separator"
            f"{_other_separator(row)}"
        )


def _other_separator(row: list[Any]) -> str:
    """What seems to separate a row of one field, and which option reads it."""
    text = str(row[0]) if len(row) == 1 else ""
    found = guess_separator(text)
    if found not in text:
        return ""
    return f", which looks like {found!r}: data.separator names it, and data.reader=table reads any"


def check_header(header: list[str], need: tuple[str, ...], path: Path, advice: str = "") -> None:
    """Refuse a header without a column that is needed, or with one twice.

    Raises:
        HeaderError: naming the column and the nearest one.
        DataError: naming the column that is there twice.
    """
    for column in need:
        if column not in header:
            raise HeaderError(
                f"{path}: line 1 has no column '{column}'.{nearest(column, header)} "
                f"Columns there: {', '.join(header)[:SHOWN]}; needed: {', '.join(need)}{advice}"
            )
    twice = next((c for c in header if header.count(c) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: line 1 names the column '{twice[:SHOWN]}' twice; rename one")


def split_values(cells: pd.Series, separator: str) -> list[list[str]]:
    """Cells like ``a|b`` as lists of strings."""
    return [[v.strip() for v in cell.split(separator) if v.strip()] for cell in cells]
