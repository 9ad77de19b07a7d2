"""The users of a saved ranker and their histories, which are read in parts, never all at once."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lkgrag.data.cleaning.texts import normal
from lkgrag.errors import DataError, LkgragError, nearest, short
from lkgrag.utils.files import atomic
from lkgrag.utils.parquet import open_parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.dropped import Dropped

    #: Item indices, oldest first, and their ratings, NaN where unknown.
    History = tuple[NDArray[np.int64], NDArray[np.float32]]

#: Users a row group of the file; a look-up reads one row group.
GROUP = 1024


class UserTable(ABC):
    """Ids and histories of users, in the order of the user indices."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of users."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """Ids, in order."""

    @abstractmethod
    def find(self, user: str) -> int:
        """The user index of an id; -1 if it is unknown."""

    @abstractmethod
    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """Ids and histories of the users ``start`` to ``stop - 1``; fewer at the end of the table."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that :class:`Users` reads."""

    def refuse_unknown(self) -> None:
        """Refuse requests for users if the ranker was shared without any.

        Raises:
            DataError: it was.
        """
        return

    def index(self, user: str, dropped: Dropped | None = None, least: int = 1) -> int:
        """The user index of an id.

        Args:
            user: the id.
            dropped: users that had too few interactions.
            least: how many they needed.

        Raises:
            DataError: the id is unknown; the message names the nearest ones, or says that the user had too few
                interactions.
        """
        self.refuse_unknown()
        index = self.find(user)
        if index < 0:
            why = dropped.why_user(user, least) if dropped is not None else ""
            if why:
                raise DataError(
                    f"users={short(str(user))}: {short(why)}; rank by history=[...] instead"
                )
            raise DataError(
                f"users={short(str(user))}: no such user among the {len(self)} of this run."
                f"{nearest(user, list(self))} For someone unknown give history=[...]"
            )
        return index

    def indices(
        self, users: Sequence[str], dropped: Dropped | None = None, least: int = 1
    ) -> list[int]:
        """The user indices of several ids; arguments and errors as of :meth:`index`."""
        return [self.index(user, dropped, least) for user in users]


class Users(UserTable):
    """A Parquet file of users; at most one of its row groups is in memory.

    Columns: ``user``, ``items`` (item indices, oldest first) and ``ratings`` (NaN where unknown).

    Args:
        path: the file.

    Raises:
        LkgragError: the file is missing or broken, or lacks a column.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = open_parquet(self.path)
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
        metadata = self._file.metadata
        sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        #: The first user of each row group, and after them the number of users.
        self._starts = np.cumsum([0, *sizes])
        #: The row group in memory, by its number.
        self._loaded: tuple[int, pa.Table] | None = None

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
            row = batch.column(0).index(user).as_py()
            if row >= 0:
                return before + int(row)
            before += batch.num_rows
        return -1 if user.isascii() else self._find_spelled(normal(user))

    def indices(
        self, users: Sequence[str], dropped: Dropped | None = None, least: int = 1
    ) -> list[int]:
        """See :meth:`UserTable.indices`; the file is read once for all that are spelled as in it."""
        if len(users) == 1:
            return super().indices(users, dropped, least)
        found, wanted = (
            np.full(len(users), -1, np.int64),
            pa.array(dict.fromkeys(users), pa.string()),
        )
        place, before = {user: n for n, user in enumerate(wanted.to_pylist())}, 0
        where = np.full(len(wanted), -1, np.int64)
        for batch in self._file.iter_batches(columns=["user"]):
            hit = pc.index_in(batch.column(0).cast(pa.string()), value_set=wanted)
            rows = np.flatnonzero(hit.is_valid().to_numpy(zero_copy_only=False))
            where[hit.drop_null().to_numpy()] = before + rows
            before += batch.num_rows
        found = where[[place[user] for user in users]]
        return [
            int(index) if index >= 0 else self.index(user, dropped, least)
            for user, index in zip(users, found, strict=True)
        ]

    def _find_spelled(self, user: str) -> int:
        """The user index of an id in another spelling of Unicode; -1 if it is unknown."""
        return next((n for n, known in enumerate(self) if normal(known) == user), -1)

    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """See :meth:`UserTable.rows`."""
        out: list[tuple[str, History]] = []
        row = start
        while row < min(stop, len(self)):
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            table, first = self._load_group(number), int(self._starts[number])
            end = min(stop, int(self._starts[number + 1]))
            part = table.slice(row - first, end - row)
            columns = (part.column(name).to_pylist() for name in ("user", "items", "ratings"))
            for user, items, ratings in zip(*columns, strict=True):
                rating = [np.nan if r is None else r for r in ratings]
                out.append((user, (np.asarray(items, np.int64), np.asarray(rating, np.float32))))
            row = end
        return out

    def _load_group(self, number: int) -> pa.Table:
        """A row group, from memory if it is the last one that was read."""
        if self._loaded is None or self._loaded[0] != number:
            self._loaded = (number, self._file.read_row_group(number))
        return self._loaded[1]

    def save(self, path: str | os.PathLike[str]) -> None:
        """See :meth:`UserTable.save`."""
        with atomic(path) as tmp:
            shutil.copyfile(self.path, tmp)

    def __reduce__(self) -> tuple[Any, ...]:
        """The same users in memory: whoever reads a pickled ranker may not have the file."""
        return UsersInMemory, self._arrays()

    def in_memory(self) -> UsersInMemory:
        """The same users without the file."""
        return UsersInMemory(*self._arrays())

    def _arrays(
        self,
    ) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """All users, as :class:`UsersInMemory` takes them."""
        rows = self.rows(0, len(self))
        items = [np.zeros(0, np.int64), *(history for _, (history, _) in rows)]
        ratings = [np.zeros(0, np.float32), *(rating for _, (_, rating) in rows)]
        indptr = np.cumsum([len(part) for part in items]).astype(np.int64)
        ids = [user for user, _ in rows]
        return ids, indptr, np.concatenate(items), np.concatenate(ratings)

    def __deepcopy__(self, memo: object) -> Users:
        """Itself: it only reads."""
        return self


class UsersInMemory(UserTable):
    """A table of users in arrays, for the run that trains.

    Args:
        ids: ids of the users.
        indptr: int64 ``[num_users + 1]``.
        items: int64, item indices of user ``u`` at ``indptr[u]`` to ``indptr[u + 1] - 1``.
        ratings: float32, one for each item; NaN where unknown.
    """

    def __init__(
        self,
        ids: Sequence[str],
        indptr: NDArray[np.int64],
        items: NDArray[np.int64],
        ratings: NDArray[np.float32],
    ) -> None:
        self._ids, self._indptr, self._items, self._ratings = ids, indptr, items, ratings
        self._index = {normal(user): row for row, user in enumerate(ids)}

    def __len__(self) -> int:
        """Number of users."""
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        """Ids, in order."""
        return iter(self._ids)

    def find(self, user: str) -> int:
        """See :meth:`UserTable.find`."""
        return self._index.get(normal(user), -1)

    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """See :meth:`UserTable.rows`."""
        out = []
        for row in range(start, min(stop, len(self))):
            part = slice(self._indptr[row], self._indptr[row + 1])
            out.append((self._ids[row], (self._items[part], self._ratings[part])))
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """See :meth:`UserTable.save`."""
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
