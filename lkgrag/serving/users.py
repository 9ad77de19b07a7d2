"""The users that a saved ranker knows, and their histories: read in parts, never all at once."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import DataError, LkgragError, nearest, short
from lkgrag.utils.files import atomic

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    History = tuple[NDArray[np.int64], NDArray[np.float32]]

#: Users a row group of the file: what a look-up reads.
GROUP = 1024


class UserTable(ABC):
    """Ids and histories of users, in the order of their indices."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of users."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Ids, in order."""

    @abstractmethod
    def find(self, user: str) -> int:
        """The user index of an id, -1 where there is none."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """Ids and histories of the users ``start`` to ``stop - 1``."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file that :class:`Users` reads."""

    def index(self, user: str) -> int:
        """The user index of an id.

        Raises:
            DataError: there is none; the message names the nearest ones.
        """
        row = self.find(user)
        if row < 0:
            raise DataError(
                f"users={short(str(user))}: no such user among the {len(self)} of this run."
                f"{nearest(user, list(self))} For someone unknown give history=[...]"
            )
        return row


class Users(UserTable):
    """A Parquet file of users, of which one row group is ever in memory, however many there are.

    Columns: ``user``, ``items`` (item indices, oldest first) and ``ratings`` (NaN where unknown).

    Args:
        path: the file.

    Raises:
        LkgragError: it is missing or broken.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = Path(path)
        try:
            self._file = pq.ParquetFile(self.path)
        except FileNotFoundError:
            raise LkgragError(f"{self.path}: no such file; train the ranker again") from None
        except (OSError, pa.ArrowInvalid) as error:
            raise LkgragError(
                f"{self.path}: broken Parquet file ({error}); train the ranker again"
            ) from error
        if missing := {"user", "items", "ratings"} - set(self._file.schema_arrow.names):
            raise LkgragError(
                f"{self.path}: no column '{sorted(missing)[0]}'; train the ranker again"
            )
        meta = self._file.metadata
        sizes = [meta.row_group(n).num_rows for n in range(meta.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        self._held: tuple[int, pa.Table] | None = None

    def __len__(self) -> int:
        """Number of users."""
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[str]:
        """Ids, in order."""
        for batch in self._file.iter_batches(columns=["user"]):
            yield from batch.column(0).to_pylist()

    def find(self, user: str) -> int:
        """See :meth:`UserTable.find`."""
        before = 0
        for batch in self._file.iter_batches(columns=["user"]):
            place = batch.column(0).index(user).as_py()
            if place >= 0:
                return before + int(place)
            before += batch.num_rows
        return -1

    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """Ids and histories of the users ``start`` to ``stop - 1``."""
        out: list[tuple[str, History]] = []
        row = start
        while row < min(stop, len(self)):
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            table, first = self._group(number), int(self._starts[number])
            end = min(stop, int(self._starts[number + 1]))
            part = table.slice(row - first, end - row)
            columns = (part.column(name).to_pylist() for name in ("user", "items", "ratings"))
            for user, items, ratings in zip(*columns, strict=True):
                rating = [np.nan if r is None else r for r in ratings]
                out.append((user, (np.asarray(items, np.int64), np.asarray(rating, np.float32))))
            row = end
        return out

    def _group(self, number: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = (number, self._file.read_row_group(number))
        return self._held[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """See :meth:`UserTable.save`."""
        import shutil

        with atomic(path) as tmp:
            shutil.copyfile(self.path, tmp)


class UsersInMemory(UserTable):
    """The same of arrays, for the run that trains.

    Args:
        ids: of the users.
        indptr: int64 ``[num_users + 1]``.
        items: int64, item indices of user ``u`` at ``indptr[u]`` to ``indptr[u + 1] - 1``.
        ratings: float32, of each.
    """

    def __init__(
        self,
        ids: Sequence[str],
        indptr: NDArray[np.int64],
        items: NDArray[np.int64],
        ratings: NDArray[np.float32],
    ) -> None:
        self._ids, self._indptr, self._items, self._ratings = ids, indptr, items, ratings
        self._index = {user: row for row, user in enumerate(ids)}

    def __len__(self) -> int:
        """Number of users."""
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        """Ids, in order."""
        return iter(self._ids)

    def find(self, user: str) -> int:
        """See :meth:`UserTable.find`."""
        return self._index.get(user, -1)

    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """See :meth:`UserTable.rows`."""
        out = []
        for row in range(start, min(stop, len(self))):
            part = slice(self._indptr[row], self._indptr[row + 1])
            out.append((self._ids[row], (self._items[part], self._ratings[part])))
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """See :meth:`UserTable.save`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        offsets = pa.array(self._indptr.astype(np.int32))
        table = pa.table(
            {
                "user": pa.array(list(self._ids), pa.string()),
                "items": pa.ListArray.from_arrays(offsets, pa.array(self._items)),
                "ratings": pa.ListArray.from_arrays(offsets, pa.array(self._ratings)),
            }
        )
        with atomic(path) as tmp:
            pq.write_table(table, tmp, row_group_size=GROUP)
