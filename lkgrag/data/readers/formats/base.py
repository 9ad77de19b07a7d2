"""Tables in files: their columns first, then rows batch by batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lkgrag.errors import DataError

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
