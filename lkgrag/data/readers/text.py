"""Text files that readers share: lines, rows and tables, whose errors name file and line."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from lkgrag.data.cleaning.columns import LINE
from lkgrag.errors import DataError, nearest

#: Characters of a header that a message shows.
SHOWN = 200
#: A longer line is not one of these formats; it would only fill the memory.
LONGEST_LINE = 16 * 1024 * 1024


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
        raise DataError(
            f"{path}: after line {number}: a truncated or broken gzip file ({error}); fetch it again"
        ) from None
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(
            f"{path}: line {number}: not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); check its permissions"
        ) from error


def read_rows(
    path: Path, separator: str = ",", encoding: str = "utf-8-sig"
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the first line and the fields of each row; empty lines are left out.

    Args:
        path: the file, ``.gz`` or not.
        separator: between fields; a comma is read as CSV with quotes, all others literally.
        encoding: of the text.

    Raises:
        DataError: as :func:`read_lines`, or quotes that do not close.
    """
    lines = read_lines(path, encoding)
    if separator != ",":
        yield from ((n, line.split(separator)) for n, line in enumerate(lines, start=1) if line)
        return
    # As long as a line may be, like the fields of other formats; the csv module has one limit for all.
    csv.field_size_limit(max(LONGEST_LINE, csv.field_size_limit()))
    # Fields may hold line breaks, which `lines` has taken off.
    rows = csv.reader((f"{line}\n" for line in lines), strict=True)
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
    separator: str = ",",
    columns: tuple[str, ...] | None = None,
    need: tuple[str, ...] = (),
    encoding: str = "utf-8-sig",
) -> pd.DataFrame:
    """Read a table of strings; its index holds the numbers of the file's lines.

    Args:
        path: the file, ``.gz`` or not.
        separator: between fields; a comma is read as CSV with quotes, all others literally.
        columns: names of the columns where the file has no header.
        need: columns that must be there.
        encoding: of the text.

    Raises:
        DataError: as :func:`read_rows`; an empty file; a missing column (with the nearest one); a row
            with another number of fields than the header.
    """
    records = read_rows(path, separator, encoding)
    header = list(columns or ())
    if columns is None:
        _, first = next(records, (1, []))
        if not first:
            raise DataError(f"{path}: the file is empty; line 1 must name the columns")
        header = [name.strip() for name in first]
        check_header(header, need, path)
    return table_of(records, header, path)


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
        if len(row) != len(header):
            raise DataError(
                f"{path}: line {number}: {len(row)} {'field' if len(row) == 1 else 'fields'} where "
                f"there should be {len(header)} ({', '.join(header)[:SHOWN]}); check the separator"
            )
        rows.append(row)
        lines.append(number)
    if not rows:
        raise DataError(f"{path}: the file is empty, or holds no row; fill it or remove it")
    return pd.DataFrame(rows, columns=header, dtype=object, index=pd.Index(lines, name=LINE))


def check_header(header: list[str], need: tuple[str, ...], path: Path, advice: str = "") -> None:
    """Refuse a header without a column that is needed, or with one twice.

    Raises:
        DataError: naming the column and the nearest one.
    """
    for column in need:
        if column not in header:
            raise DataError(
                f"{path}: line 1 has no column '{column}'.{nearest(column, header)} "
                f"Columns there: {', '.join(header)[:SHOWN]}; needed: {', '.join(need)}{advice}"
            )
    twice = next((c for c in header if header.count(c) > 1), None)
    if twice is not None:
        raise DataError(f"{path}: line 1 names the column '{twice[:SHOWN]}' twice; rename one")


def split_values(cells: pd.Series, separator: str) -> list[list[str]]:
    """Cells like ``a|b`` as lists of strings."""
    return [[v.strip() for v in cell.split(separator) if v.strip()] for cell in cells]
