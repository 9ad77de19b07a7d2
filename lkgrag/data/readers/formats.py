"""Tables in files: CSV and its kin, JSON lines, Parquet and Arrow; headers first, then rows batch by batch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.data.in_memory import arrow_columns
from lkgrag.data.readers.batches import BATCH, batched
from lkgrag.data.readers.packed import PACKINGS, existing, unpacked_name
from lkgrag.data.readers.text import check_header, check_width, open_table, read_lines
from lkgrag.errors import DataError, short
from lkgrag.utils.parquet import open_parquet

#: Suffixes of text tables.
TEXT = (".csv", ".tsv", ".tab", ".psv", ".txt")
#: Objects at the beginning of a JSON file whose keys are its columns.
FIRST = 1_000

#: Lines of the file (None: rows are counted), and the values by column.
Batch = tuple[list[int] | None, dict[str, Any]]


@dataclass(frozen=True)
class Piece:
    """A piece of a table.

    Attributes:
        path: of the table.
        part: its file, where the table has several that can be read from a row on; None for the whole table.
        first: row of that file, a multiple of the rows of a batch.
        end: the row after the last one.
        before: rows of the table before this piece.
    """

    path: Path
    part: Path | None = None
    first: int = 0
    end: int = 0
    before: int = 0


class TableFile(ABC):
    """A table in a file.

    Args:
        path: the file.
        separator: between the fields of a text table; None: line 1 tells which.
    """

    def __init__(self, path: Path, separator: str | None = None) -> None:
        self.path = path
        self.separator = separator

    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the columns.

        Raises:
            DataError: the file is empty or broken.
        """

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Rows of some columns, batch by batch.

        Raises:
            DataError: a row is broken.
        """

    def pieces(self, most: int) -> list[Piece]:
        """Pieces of the table in their order, of at most ``most`` rows where a file can be read from a row on."""
        return [Piece(self.path)]

    def piece_batches(self, piece: Piece, columns: Sequence[str]) -> Iterator[Batch]:
        """As :meth:`batches`, of a piece."""
        yield from self.batches(columns)

    def table(self) -> pd.DataFrame:
        """The whole table, indexed by line where there are lines."""
        columns = self.columns()
        parts: list[pd.DataFrame] = []
        for lines, values in self.batches(columns):
            index = None if lines is None else pd.Index(lines, name="line")
            series = {
                c: v if isinstance(v, pd.Series) else pd.Series(v, dtype=object)
                for c, v in values.items()
            }
            part = pd.DataFrame(series, columns=pd.Index(columns))
            parts.append(part if index is None else part.set_axis(index))
        if not parts:
            raise DataError(
                f"{self.path}: the file is empty, or holds no row; fill it or remove it"
            )
        return pd.concat(parts, ignore_index=parts[0].index.name is None)


class TextTable(TableFile):
    """CSV, or fields with another separator.

    Attributes:
        has_header: whether line 1 names the columns; otherwise their names are numbers, from ``1`` on.
    """

    has_header = True

    def columns(self) -> list[str]:
        """The fields of line 1, or as many numbers."""
        header, _ = self._open()
        return header

    def _open(self) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
        header, rows = open_table(self.path, self.separator)
        if not self.has_header:
            header = [str(number + 1) for number in range(len(header))]
            header, rows = open_table(self.path, self.separator, tuple(header))
        check_header(header, (), self.path)
        return header, rows

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Cells as text; quotes around a whole cell are taken off."""
        header, rows = self._open()
        places = {column: header.index(column) for column in columns}
        for batch in batched(rows):
            for number, row in batch:
                check_width(row, header, self.path, number)
            lines = [number for number, _ in batch]
            yield lines, {c: [_unquoted(row[p]) for _, row in batch] for c, p in places.items()}


def _unquoted(cell: str) -> str:
    """A cell without quotes around it, as other programs write them where a tab separates."""
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"')
    return cell


class JsonTable(TableFile):
    """One object a line, or one list of objects."""

    def objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each object with the number of its line, or in a list its own.

        Raises:
            DataError: a line is no object.
        """
        for number, line in enumerate(read_lines(self.path), start=1):
            text = line.strip()
            if not text:
                continue
            if number == 1 and text[0] == "[":
                yield from self._list()
                return
            value = self._parse(line, number)
            if not isinstance(value, dict):
                raise DataError(f"{self.path}: line {number}: not an object: {line[:40]!r}")
            yield number, value

    def _parse(self, text: str, number: int) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            advice = 'one object a line, as {"user": ...}, or one list of objects'
            raise DataError(
                f"{self.path}: line {number}: no JSON: {text[:40]!r}; the file must hold {advice}"
            ) from None

    def _list(self) -> Iterator[tuple[int, dict[str, Any]]]:
        values = self._parse("\n".join(read_lines(self.path)), 1)
        for number, value in enumerate(values if isinstance(values, list) else [values], start=1):
            if not isinstance(value, dict):
                raise DataError(f"{self.path}: entry {number}: not an object: {str(value)[:40]!r}")
            yield number, value

    def columns(self) -> list[str]:
        """The keys of the first objects."""
        names: dict[str, None] = {}
        for place, (_, value) in enumerate(self.objects()):
            if place >= FIRST:
                break
            names.update(dict.fromkeys(map(str, value)))
        if not names:
            raise DataError(
                f"{self.path}: the file is empty, or holds no object; fill it or remove it"
            )
        return list(names)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Values as they are; a key that is missing gives None."""
        for batch in batched(self.objects()):
            lines = [number for number, _ in batch]
            yield lines, {c: [value.get(c) for _, value in batch] for c in columns}


class ParquetTable(TableFile):
    """A Parquet file, or a folder of them, as Spark writes."""

    @property
    def parts(self) -> list[Path]:
        """The files, in the order of their names."""
        return parquet_parts(self.path)

    def columns(self) -> list[str]:
        """Names of the schema."""
        with self._open(self.parts[0]) as file:
            return [str(name) for name in file.schema_arrow.names]

    @staticmethod
    def _open(path: Path) -> pq.ParquetFile:
        try:
            return open_parquet(path)
        except (pa.ArrowException, OSError, ValueError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{path}: no Parquet file, or a broken one ({short(first)})") from None

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Series of pandas."""
        for part in self.parts:
            yield from self._read(part, columns, None)

    def pieces(self, most: int) -> list[Piece]:
        """Ranges of rows of each file, which begin where batches do."""
        out, before = [], 0
        most = max(1, most // BATCH) * BATCH
        for part in self.parts:
            with self._open(part) as file:
                rows = file.metadata.num_rows
            for first in range(0, rows, most):
                end = min(first + most, rows)
                out.append(Piece(self.path, part, first, end, before + first))
            before += rows
        return out

    def piece_batches(self, piece: Piece, columns: Sequence[str]) -> Iterator[Batch]:
        """Series of pandas: the batches that the whole file has there."""
        yield from self._read(piece.part or self.path, columns, piece)

    def _read(self, part: Path, columns: Sequence[str], piece: Piece | None) -> Iterator[Batch]:
        with self._open(part) as file:
            missing = [c for c in columns if c not in file.schema_arrow.names]
            if missing:
                raise DataError(f"{part}: no column '{missing[0]}', which {self.parts[0]} has")
            whole = file.iter_batches(BATCH, columns=list(columns), use_threads=False)
            try:
                for batch in whole if piece is None else _rows(file, columns, piece):
                    yield None, arrow_columns(batch)
            except (pa.ArrowException, OSError, ValueError) as error:
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise DataError(f"{part}: a broken Parquet file ({short(first)})") from None


def _rows(file: pq.ParquetFile, columns: Sequence[str], piece: Piece) -> Iterator[pa.RecordBatch]:
    """Batches of a range of rows, of which only the groups that hold it are read."""
    groups: list[int] = []
    start, begin = 0, 0
    for number in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if start < piece.end and start + rows > piece.first:
            begin = start if not groups else begin
            groups.append(number)
        start += rows
    waiting: list[pa.RecordBatch] = []
    size, place = 0, begin
    for batch in file.iter_batches(BATCH, groups, list(columns), use_threads=False):
        low, high = max(piece.first - place, 0), min(piece.end - place, len(batch))
        place += len(batch)
        if low >= high:
            continue
        waiting.append(batch.slice(low, high - low))
        size += high - low
        while size >= BATCH or (size and place >= piece.end):
            table = pa.Table.from_batches(waiting)
            (full,) = table.slice(0, BATCH).combine_chunks().to_batches()
            yield full
            waiting = table.slice(BATCH).to_batches()
            size = max(0, size - BATCH)


class ArrowTable(TableFile):
    """An Arrow or Feather file."""

    def columns(self) -> list[str]:
        """Names of the schema."""
        return [str(name) for name in self._open().schema.names]

    def _open(self) -> Any:
        try:
            source = pa.memory_map(str(self.path))
            try:
                return pa.ipc.open_file(source)
            except pa.ArrowInvalid:
                return pa.ipc.open_stream(pa.memory_map(str(self.path)))
        except (pa.ArrowException, OSError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"{self.path}: no Arrow file, or a broken one ({short(first)})"
            ) from None

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Series of pandas."""
        try:
            file = self._open()
            whole = (
                (file.get_batch(n) for n in range(file.num_record_batches))
                if hasattr(file, "num_record_batches")
                else file
            )
            for batch in whole:
                yield None, arrow_columns(batch.select(list(columns)))
        except (pa.ArrowException, OSError, KeyError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{self.path}: a broken Arrow file ({short(first)})") from None


def parquet_parts(path: Path) -> list[Path]:
    """The file itself, or the Parquet files of a folder in the order of their names.

    Raises:
        DataError: a folder holds none.
    """
    if not path.is_dir():
        return [path]
    parts = sorted(
        p
        for p in path.rglob("*.parquet")
        if p.is_file() and not p.name.startswith(("_", ".")) and p.stat().st_size
    )
    if not parts:
        raise DataError(f"{path}: a folder without a Parquet file; put one there, or remove it")
    return parts


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
