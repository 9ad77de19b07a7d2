"""Training interactions in parts that several processes count: each part alone, then what the parts have in common.

Users are whole in each part. So the counts of an item are the sums of those of the parts, and the rows of each part, sorted
by item, are read by whoever counts some items.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.kg.large.histories import Histories, Rows, within
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import atomic
from lkgrag.utils.parts import load_array, load_arrays, save_array, save_arrays
from lkgrag.utils.steps import Hands, Task, part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.large.histories import Bounds
    from lkgrag.utils.duck import Duck

#: Rows of a group of the sorted rows, which is the least that others read.
GROUP = 1 << 16
#: Bytes of a key.
KEY = 8
#: What is counted of each item for every relation.
ALWAYS = ("chosen", "degree", "others")


@dataclass(frozen=True)
class Parts:
    """Histories in parts as other processes are sent them: by the names of files.

    Attributes:
        files: of the training interactions; a user is in one of them.
        num_items: ``I``.
        is_once: as of :class:`~lkgrag.kg.large.histories.Histories`.
        folder: for what is counted between.
    """

    files: tuple[Path, ...]
    num_items: int
    is_once: bool
    folder: Path

    def on(self, duck: Duck) -> SpreadHistories:
        """In a database."""
        return SpreadHistories(duck, parquet(self.files), self.num_items, self.is_once, parts=self)

    def known(self, name: str) -> Path:
        """The file of what is known of each item."""
        return self.folder / "items" / f"{name}.npy"

    def sorted(self, rows: Rows) -> list[Path]:
        """The files of rows sorted by item."""
        return [part(self.folder / rows.name, number) for number in range(len(self.files))]


@dataclass(frozen=True)
class SpreadHistories(Histories):
    """Histories in parts, in a database.

    Attributes:
        parts: the files.
    """

    parts: Parts = Parts((), 0, True, Path())

    @property
    def sent(self) -> Parts:
        """What other processes are sent."""
        return self.parts

    def prepare(self, hands: Hands, windows: list[tuple[int, bool]]) -> None:
        """Count what is known of each item: each part alone, then their sum."""
        names = [*ALWAYS, *(_window_name(*window) for window in windows)]
        missing = [name for name in names if not self.parts.known(name).exists()]
        if not missing:
            return
        folder = self.parts.folder / f"of-{'-'.join(missing)}"
        files = hands.do(
            "count the interactions of items",
            [
                Task(
                    out := folder / f"{path.stem}.npz",
                    write_known,
                    (path, self.num_items, self.is_once, missing, out),
                )
                for path in self.parts.files
            ],
        )
        for name in missing:
            total = np.zeros(self.num_items, np.int64)
            for file in files:
                found = load_arrays(file)
                total[found[f"{name}-item"]] += found[f"{name}-count"]
            save_array(self.parts.known(name), total)
        shutil.rmtree(folder, ignore_errors=True)

    def divide(self, hands: Hands, rows: Rows) -> None:
        """Sort the rows of each part by item."""
        hands.do(
            f"make the rows of {rows.name}",
            [
                Task(out, write_sorted, (path, self.num_items, self.is_once, rows, out))
                for path, out in zip(self.parts.files, self.parts.sorted(rows), strict=True)
            ],
        )

    def forget(self, rows: Rows) -> None:
        """Delete them."""
        shutil.rmtree(self.parts.folder / rows.name, ignore_errors=True)

    def rows(self, rows: Rows, bounds: Bounds) -> str:
        """A query for the rows of some items, which reads only the groups that hold them."""
        some = within(bounds, rows.column, rows.scale)
        return f"select * from {parquet(self.parts.sorted(rows))} where {some}"

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """As of :class:`~lkgrag.kg.large.histories.Histories`, from :meth:`prepare`; so are those below."""
        return self._known("chosen")

    @cached_property
    def degree(self) -> NDArray[np.int64]:
        """Number of users of each item."""
        return self._known("degree")

    @cached_property
    def others(self) -> NDArray[np.int64]:
        """Most items that an item's users have beside it."""
        return self._known("others")

    def pairs_within(self, window: int, both: bool = False) -> NDArray[np.int64]:
        """How many interactions follow an item's within a window."""
        return self._known(_window_name(window, both))

    def _known(self, name: str) -> NDArray[np.int64]:
        return load_array(self.parts.known(name))


def _window_name(window: int, both: bool) -> str:
    return f"within_{window}{'_both' if both else ''}"


def write_known(
    duck: Duck, training: Path, num_items: int, is_once: bool, names: list[str], path: Path
) -> None:
    """Count what is known of each item of a part.

    Args:
        duck: the database.
        training: file of the part.
        num_items: ``I``.
        is_once: as of :class:`~lkgrag.kg.large.histories.Histories`.
        names: of what is counted.
        path: of the file: of each name the items with a count, and their counts.
    """
    here = Histories(duck, parquet([training]), num_items, is_once)
    arrays = {}
    for name in names:
        if name in ALWAYS:
            count = getattr(here, name)
        else:
            _, window, *both = name.split("_")
            count = here.pairs_within(int(window), bool(both))
        arrays[f"{name}-item"] = np.flatnonzero(count)
        arrays[f"{name}-count"] = count[arrays[f"{name}-item"]]
    save_arrays(path, arrays)


def write_sorted(
    duck: Duck, training: Path, num_items: int, is_once: bool, rows: Rows, path: Path
) -> None:
    """Write the rows of a part, sorted by item.

    Args:
        duck: the database.
        training: file of the part.
        num_items: ``I``.
        is_once: as of :class:`~lkgrag.kg.large.histories.Histories`.
        rows: that are written.
        path: of the file.
    """
    here = Histories(duck, parquet([training]), num_items, is_once)
    sql = rows.query(here, None)
    most = int(rows.most(here).sum())
    if not rows.is_plain or most * KEY > duck.arrays:
        duck.write(f"select * from ({sql}) order by {rows.column}", path, GROUP)
        return
    # Sorting one array is several times as fast as the database's order of rows.
    keys = np.empty(most, np.int64)
    size = 0
    for batch in duck.batches(sql):
        some = batch["key"].to_numpy()
        keys[size : size + len(some)] = some
        size += len(some)
    keys = keys[:size]
    keys.sort()
    schema = pa.schema({"key": pa.int64()})
    with (
        atomic(path) as tmp,
        # Differences of sorted numbers take two bytes each.
        pq.ParquetWriter(
            tmp,
            schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"key": "DELTA_BINARY_PACKED"},
        ) as writer,
    ):
        for start in range(0, size, GROUP):
            writer.write_table(pa.table([keys[start : start + GROUP]], schema=schema))
