"""Tables in files of columns: Parquet and Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.data.in_memory import arrow_columns
from lkgrag.data.readers.batches import BATCH
from lkgrag.data.readers.formats.base import Batch, Piece, TableFile
from lkgrag.errors import DataError, short
from lkgrag.utils.parquet import open_parquet


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
