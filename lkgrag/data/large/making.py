"""A store made of files, step by step: a step whose file is there is not taken again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.config.identity import digest, to_dict
from lkgrag.data.interactions import POSITIONS
from lkgrag.data.large import cleaning, coding, sequences
from lkgrag.data.large.raw import write_raw
from lkgrag.data.large.store import META, VERSION, Store
from lkgrag.data.readers.location import locate
from lkgrag.data.readers.reading import data_folder, digest_files
from lkgrag.errors import DataError, RunError
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import atomic, read_json, sweep, write_json
from lkgrag.utils.key_counts import kept_ranges
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.utils.duck import Duck

#: Says which data a folder is of, from the first step on.
KEY = "key.json"
#: Bytes of an interaction while those of some users are put in order.
ROW = 160
KINDS = ("user", "item")
#: Options of the data that the sequences do not depend on.
OF_SPLITS = ("root", "split", "rolling", "val_from", "test_from")


def make_store(duck: Duck, config: DataConfig, folder: str | os.PathLike[str]) -> Store:
    """Read, filter, order and index the interactions of files: the same that :class:`Interactions` holds.

    A call that was stopped goes on where it was. The caller holds the folder's lock.

    Args:
        duck: the database.
        config: of the data.
        folder: of the store.

    Raises:
        DataError: a file is missing or broken, a value does not fit, or nothing is left.
        RunError: the folder holds the store of other data.
        LkgragError: the disk is full, or the memory too little.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    place = locate(data_folder(config), config)
    options = {k: v for k, v in to_dict(config).items() if k not in OF_SPLITS}
    files = digest_files(place.reader, place.folder, place.config)
    key = digest({"options": options, "files": files, "version": VERSION})
    if (folder / KEY).exists() and read_json(folder / KEY).get("key") != key:
        raise RunError(
            f"{folder}: holds other data, or the same with other options; choose another out=, or overwrite=true"
        )
    write_json(folder / KEY, {"key": key})
    if (folder / META).exists():
        shutil.rmtree(folder / "work", ignore_errors=True)
        return Store.open(folder)
    source = str(place.reader.files(place.folder, place.config)[0])
    _Making(duck, config, folder, source).take(lambda path: write_raw(place, config, path), key)
    return Store.open(folder)


class _Making:
    """The steps from files to sequences."""

    def __init__(self, duck: Duck, config: DataConfig, folder: Path, source: str) -> None:
        self.duck, self.config, self.folder, self.source = duck, config, folder, source
        self.work = folder / "work"

    def take(self, read: Callable[[Path], None], key: str) -> None:
        """Take all steps that are not taken yet, and delete what was between.

        Args:
            read: writes the interactions of the files.
            key: of the data.
        """
        coded, raw, numbers = (
            self.work / name for name in ("coded.parquet", "raw.parquet", "raw.json")
        )
        if not numbers.exists():
            self._step("raw.parquet", "read the interactions", read)
        ids = {
            kind: self._step(
                f"{kind}s.parquet",
                f"index the {kind}s",
                partial(coding.write_ids, self.duck, raw, kind),
            )
            for kind in KINDS
        }
        if not numbers.exists():
            self._code(raw, ids, coded)
            write_json(numbers, {"rows": pq.read_metadata(raw).num_rows})
        # Each table takes as much of the disk as the data.
        raw.unlink(missing_ok=True)
        sizes = {kind: pq.read_metadata(ids[kind]).num_rows for kind in KINDS}
        bounds = self._clean(coded, sizes["user"])
        clean = [*bounds]
        rename_activity("find the k-core")
        counts = cleaning.k_core_counts(self.duck, clean, sizes, self.config, self.source)
        for kind in KINDS:
            sequences.put_indices(self.duck, kind, counts[kind] > 0)
        parts = []
        for number, path in enumerate(clean):
            out = self.folder / "sequences" / path.name
            if not out.exists():
                rename_activity(f"order the sequences: {number} of {len(clean)}")
                sequences.write_sequences(self.duck, path, bounds[path], ids, self.config, out)
            parts.append(out)
        for kind in KINDS:
            self.duck.forget(f"{kind}_map")
            _write_counts(ids[kind], counts[kind], self.folder / f"{kind}s.parquet")
        stats = {
            "raw_interactions": read_json(numbers)["rows"],
            "interactions": int(counts["user"].sum()),
            "users": int((counts["user"] > 0).sum()),
            "items": int((counts["item"] > 0).sum()),
            **self._ties(parts),
        }
        is_once = self.config.duplicates != "keep" or not self._has_repetition(parts)
        meta = {"version": VERSION, "key": key, "is_once": is_once, "stats": stats}
        meta |= self._times(parts) | {"parts": [path.name for path in parts]}
        write_json(self.folder / META, meta)
        shutil.rmtree(self.work)

    def _step(self, name: str, words: str, write: Callable[[Path], None]) -> Path:
        path = self.work / name
        if not path.exists():
            rename_activity(words)
            write(path)
        return path

    def _code(self, raw: Path, ids: dict[str, Path], coded: Path) -> None:
        """Put indices in place of ids."""
        least = self.config.min_rating
        if least is not None:
            self._check_ratings(raw, least)
        self._step(
            coded.name,
            "put indices in place of ids",
            lambda path: coding.write_coded(self.duck, raw, ids, least, path),
        )
        if self.config.duplicates == "error":
            cleaning.refuse_duplicates(self.duck, coded, ids, self.source)

    def _check_ratings(self, raw: Path, least: float) -> None:
        """Refuse a floor of ratings that nothing reaches; an unknown rating is not a low one."""
        known, highest, left = self.duck.row(
            "select count(rating), max(rating), "
            f"count(*) filter (rating is null or rating >= {least!r}::double) from {parquet([raw])}"
        )
        if not known:
            raise DataError(
                f"{self.source}: data.min_rating={least:g}, but no interaction has a rating; leave it out"
            )
        if not left:
            raise DataError(
                f"{self.source}: no rating reaches data.min_rating={least:g}; the highest is {highest:g}"
            )

    def _clean(self, coded: Path, users: int) -> dict[Path, tuple[int, int]]:
        """The interactions by ranges of users, one of each item; the ranges by file."""
        rows = f"select user as place, count(*) as value from {parquet([coded])} group by user"
        out = {}
        bounds = kept_ranges(
            self.work / "clean",
            lambda: self.duck.counts(rows, users),
            max(1, self.duck.arrays // ROW),
        )
        for number, some in enumerate(bounds):
            path = self.work / "clean" / f"part-{number:05}.parquet"
            if not path.exists():
                rename_activity(f"drop duplicates: {number} of {len(bounds)}")
                cleaning.write_clean(self.duck, coded, some, self.config.duplicates, path)
            out[path] = some
        # From here on this takes place alone.
        coded.unlink(missing_ok=True)
        return out

    def _ties(self, parts: list[Path]) -> dict[str, float | None]:
        """The shares of :func:`~lkgrag.data.interactions.tie_report`."""
        same = "coalesce(user = lag(user) over () and time = lag(time) over (), false)"
        last = "coalesce(user <> lead(user) over (), true)"
        rows, known, tied, users, tied_last = self.duck.row(
            "select count(*), count(time), count(*) filter (same), count(*) filter (last), "
            f"count(*) filter (same and last) from (select time, {same} as same, {last} as last "
            f"from {parquet(parts)})"
        )
        if not known:
            return {"tied_interactions": None, "tied_last_two": None}
        return {"tied_interactions": tied / rows, "tied_last_two": tied_last / users}

    def _times(self, parts: list[Path]) -> dict[str, Any]:
        """How many interactions have no time, and whether times are points in time."""
        unknown, early, users = self.duck.row(
            "select count(*) - count(time), count(*) filter (position = 0 and time <= 1), "
            f"count(*) filter (position = 0) from {parquet(parts)}"
        )
        return {"unknown_times": unknown, "dated": not early / users > POSITIONS}

    def _has_repetition(self, parts: list[Path]) -> bool:
        """Whether a user has an item more than once."""
        return any(
            self.duck.row(
                "select count(*) from (select 1 from "
                f"{parquet([path])} group by user, item having count(*) > 1 limit 1)"
            )[0]
            for path in parts
        )


def _write_counts(ids: Path, counts: NDArray[np.int64], path: Path) -> None:
    """Write the ids that are kept, with the number of their interactions."""
    schema: Any = pa.schema({"id": pa.string(), "n": pa.int64()})
    start = 0
    with (
        atomic(path) as tmp,
        pq.ParquetFile(ids) as file,
        pq.ParquetWriter(tmp, schema, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(1 << 20, columns=["id"]):
            some = counts[start : start + len(batch)]
            table = pa.table([batch["id"].cast(pa.string()), pa.array(some)], schema=schema)
            writer.write_table(table.filter(pa.array(some > 0)))
            start += len(batch)
