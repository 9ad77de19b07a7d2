"""Tables in text files: CSV and its kin, and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from lkgrag.data.readers.batches import batched
from lkgrag.data.readers.formats.base import Batch, TableFile
from lkgrag.data.readers.text import check_header, check_width, open_table, read_lines
from lkgrag.errors import DataError

#: Objects at the beginning of a JSON file whose keys are its columns.
FIRST = 1_000


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
