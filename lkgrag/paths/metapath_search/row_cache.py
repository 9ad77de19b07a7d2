"""Rows of items that were read lately, within a limit of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    #: Reads the records of rising items: their number by item, and all of them in this order.
    Fetch = Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.void]]]

#: Bytes that an item takes beside its records: the keys and links of the dictionary, and the object.
ENTRY = 260


class RowCache:
    """Keeps records by item; those that were used longest ago go first.

    Args:
        limit: bytes of all records. A batch's own rows are in memory beside them.

    Attributes:
        taken: bytes of what is kept.
        hits: items that were kept when they were asked for.
        misses: items that were fetched.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = self.hits = self.misses = 0
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[RowCache], tuple[int]]:
        """A copy in another process begins empty."""
        return RowCache, (self.limit,)

    def __len__(self) -> int:
        """Number of rows that are kept."""
        return len(self._kept)

    def get(
        self, kind: str, items: NDArray[np.int64], dtype: np.dtype[np.void], fetch: Fetch
    ) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Give the records of items, of which those that are not kept are fetched together.

        Args:
            kind: of the records; others are kept apart.
            items: int64, rising.
            dtype: of a record.
            fetch: reads those that are not kept.

        Returns:
            The number of records of each item, int64, and all records in the order of the items.
        """
        keys = [(kind, item) for item in items.tolist()]
        with self._lock:
            found = [self._kept.get(key) for key in keys]
            for key, row in zip(keys, found, strict=True):
                if row is not None:
                    self._kept.move_to_end(key)
        missing = [place for place, row in enumerate(found) if row is None]
        if missing:
            count, records = fetch(items[missing])
            data, end = records.tobytes(), np.cumsum(count) * dtype.itemsize
            begin = end - count * dtype.itemsize
            new = [data[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
            for place, row in zip(missing, new, strict=True):
                found[place] = row
            self._keep([keys[place] for place in missing], new)
        with self._lock:
            self.hits += len(keys) - len(missing)
            self.misses += len(missing)
        rows = [row for row in found if row is not None]
        lengths = np.array([len(row) for row in rows], np.int64) // dtype.itemsize
        return lengths, np.frombuffer(b"".join(rows), dtype)

    def _keep(self, keys: list[tuple[str, int]], rows: list[bytes]) -> None:
        """Keep rows, and let go of what was used longest ago."""
        with self._lock:
            for key, row in zip(keys, rows, strict=True):
                size = len(row) + ENTRY
                # Another thread may have read it meanwhile; a row above the limit would only drive out others.
                if key in self._kept or size > self.limit:
                    continue
                self._kept[key] = row
                self.taken += size
            while self.taken > self.limit:
                self.taken -= len(self._kept.popitem(last=False)[1]) + ENTRY
