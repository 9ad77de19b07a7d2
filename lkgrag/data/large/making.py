"""A store made of files, step by step: a step whose file is there is not taken again."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.config.identity import digest, to_dict
from lkgrag.data.interactions import POSITIONS
from lkgrag.data.large import cleaning, coding, sequences
from lkgrag.data.large import raw as raw_module
from lkgrag.data.large.store import META, VERSION, Store
from lkgrag.data.readers.location import locate
from lkgrag.data.readers.reading import data_folder, digest_files
from lkgrag.errors import DataError, RunError
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import atomic, read_json, sweep, write_json
from lkgrag.utils.key_counts import kept_ranges
from lkgrag.utils.parquet import open_parquet
from lkgrag.utils.parts import count_rows
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.steps import Alone, Hands, Task, hands_of, part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.data.readers.location import Place
    from lkgrag.utils.duck import Duck

#: Says which data a folder is of, from the first step on.
KEY = "key.json"
#: Bytes of an interaction while those of some users are put in order.
ROW = 160
#: Rows of a part of the files, where several processes read.
PIECE = 1 << 20
KINDS = ("user", "item")
#: Options of the data that the sequences do not depend on.
OF_SPLITS = ("root", "split", "rolling", "val_from", "test_from")


def make_store(hands: Hands | Duck, config: DataConfig, folder: str | os.PathLike[str]) -> Store:
    """Read, filter, order and index the interactions of files: the same that :class:`Interactions` holds.

    A call that was stopped goes on where it was. The caller holds the folder's lock.

    Args:
        hands: who makes the parts; of a database, this process.
        config: of the data.
        folder: of the store.

    Raises:
        DataError: a file is missing or broken, a value does not fit, or nothing is left.
        RunError: the folder holds the store of other data.
        LkgragError: the disk is full, or the memory too little.
    """
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    hands = hands_of(hands)
    if not hands.is_spread:
        # Workers have files there, which whoever starts them has swept before.
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
    _Making(hands, config, folder, place).take(key)
    return Store.open(folder)


class _Making:
    """The steps from files to sequences."""

    def __init__(self, hands: Hands, config: DataConfig, folder: Path, place: Place) -> None:
        self.hands, self.config, self.folder, self.place = hands, config, folder, place
        self.duck = hands.duck
        self.source = str(place.reader.files(place.folder, place.config)[0])
        self.work = folder / "work"

    def take(self, key: str) -> None:
        """Take all steps that are not taken yet, and delete what was between.

        Args:
            key: of the data.
        """
        numbers = self.work / "raw.json"
        ids = {kind: self.work / f"{kind}s.parquet" for kind in KINDS}
        if not numbers.exists():
            self._read(ids, numbers)
        said = read_json(numbers)
        # Each table takes as much of the disk as the data.
        shutil.rmtree(self.work / "raw", ignore_errors=True)
        sizes = {kind: count_rows(ids[kind]) for kind in KINDS}
        coded = [self.work / "coded" / name for name in said["parts"]]
        clean = self._clean(coded, sizes["user"])
        counts = cleaning.k_core_counts(self.hands, clean, sizes, self.config, self.source)
        kept = sequences.write_kept(counts, self.work)
        parts = self.hands.do(
            "order the sequences",
            [
                Task(
                    out := self.folder / "sequences" / path.name,
                    sequences.write_sequences,
                    (path, bounds, kept, ids, self.config, out),
                )
                for path, bounds in clean.items()
            ],
        )
        for kind in KINDS:
            _write_counts(ids[kind], counts[kind], self.folder / f"{kind}s.parquet")
        facts = self._facts(parts)
        known = facts["known"] > 0
        stats = {
            "raw_interactions": said["rows"],
            "interactions": int(counts["user"].sum()),
            "users": int((counts["user"] > 0).sum()),
            "items": int((counts["item"] > 0).sum()),
            # The shares of tie_report().
            "tied_interactions": facts["tied"] / facts["rows"] if known else None,
            "tied_last_two": facts["tied_last"] / facts["users"] if known else None,
        }
        meta = {"version": VERSION, "key": key, "is_once": not facts["repeated"], "stats": stats}
        meta |= {
            "unknown_times": facts["rows"] - facts["known"],
            "dated": not facts["early"] / facts["users"] > POSITIONS,
        }
        meta |= {"parts": [path.name for path in parts]}
        write_json(self.folder / META, meta)
        shutil.rmtree(self.work, ignore_errors=True)

    def _read(self, ids: dict[str, Path], numbers: Path) -> None:
        """Read the interactions, and put indices in place of ids."""
        raw_module.refuse_tables(self.config)
        raw, respelled = self._raw()
        self.hands.do(
            "index users and items",
            [Task(ids[k], coding.write_ids, (raw, respelled, k, ids[k])) for k in KINDS],
        )
        least = self.config.min_rating
        if least is not None:
            self._check_ratings(raw, least)
        coded = self.hands.do(
            "put indices in place of ids",
            [
                Task(
                    out := self.work / "coded" / path.name,
                    coding.write_coded,
                    (raw, number, respelled, ids, least, out),
                )
                for number, path in enumerate(raw)
            ],
        )
        if self.config.duplicates == "error":
            cleaning.refuse_duplicates(self.duck, coded, ids, self.source)
        rows = sum(map(count_rows, raw))
        write_json(numbers, {"rows": rows, "parts": [path.name for path in coded]})

    def _raw(self) -> tuple[list[Path], Path | None]:
        """The interactions in parts; and the texts that differ in their spelling, where there are any."""
        if self.hands.is_spread:
            # Other processes may stand in another folder.
            self.place = replace(self.place, folder=self.place.folder.absolute())
        pieces = raw_module.plan_raw(self.place, PIECE) if self.hands.is_spread else None
        # Whoever reads by custom code does so here, where that code is.
        hands = self.hands if pieces is not None else Alone(self.duck)
        raw = hands.do(
            "read the interactions",
            [
                Task(
                    out := part(self.work / "raw", number),
                    raw_module.write_raw,
                    (self.place, self.config, piece, out),
                )
                for number, piece in enumerate([None] if pieces is None else pieces)
            ],
        )
        if not any(map(count_rows, raw)):
            raise raw_module.no_interaction(self.place)
        respelled = self.work / "respelled.parquet"
        if len(raw) < 2:
            return raw, None
        Alone(self.duck).do(
            "compare spellings", [Task(respelled, raw_module.write_respelled, (raw, respelled))]
        )
        return raw, respelled if count_rows(respelled) else None

    def _check_ratings(self, raw: list[Path], least: float) -> None:
        """Refuse a floor of ratings that nothing reaches; an unknown rating is not a low one."""
        known, highest, left = self.duck.row(
            "select count(rating), max(rating), "
            f"count(*) filter (rating is null or rating >= {least!r}::double) from {parquet(raw)}"
        )
        if not known:
            raise DataError(
                f"{self.source}: data.min_rating={least:g}, but no interaction has a rating; leave it out"
            )
        if not left:
            raise DataError(
                f"{self.source}: no rating reaches data.min_rating={least:g}; the highest is {highest:g}"
            )

    def _clean(self, coded: list[Path], users: int) -> dict[Path, tuple[int, int]]:
        """The interactions by ranges of users, one of each item; the ranges by file."""
        folder = self.work / "clean"
        rows = f"select user as place, 1 as value from {parquet(coded)}"

        def count() -> NDArray[np.int64]:
            rename_activity("count the interactions of users")
            return self.duck.sums(rows, users)

        bounds = kept_ranges(folder, count, lambda total: self.hands.most_rows(total, ROW))
        out = {part(folder, number): some for number, some in enumerate(bounds)}
        rule = self.config.duplicates
        self.hands.do(
            "drop duplicates",
            [
                Task(path, cleaning.write_clean, (coded, some, rule, path))
                for path, some in out.items()
            ],
        )
        # From here on these take place alone.
        shutil.rmtree(self.work / "coded", ignore_errors=True)
        return out

    def _facts(self, parts: list[Path]) -> dict[str, int]:
        """What is told of all sequences."""
        files = self.hands.do(
            "look for ties",
            [
                Task(
                    out := self.work / "facts" / f"{path.stem}.json",
                    sequences.write_facts,
                    (path, self.config.duplicates == "keep", out),
                )
                for path in parts
            ],
        )
        found = [read_json(path) for path in files]
        return {name: sum(row[name] for row in found) for name in found[0]}


def _write_counts(ids: Path, counts: NDArray[np.int64], path: Path) -> None:
    """Write the ids that are kept, with the number of their interactions."""
    schema: Any = pa.schema({"id": pa.string(), "n": pa.int64()})
    start = 0
    with (
        atomic(path) as tmp,
        open_parquet(ids) as file,
        pq.ParquetWriter(tmp, schema, compression="zstd") as writer,
    ):
        for batch in file.iter_batches(1 << 20, columns=["id"]):
            some = counts[start : start + len(batch)]
            table = pa.table([batch["id"].cast(pa.string()), pa.array(some)], schema=schema)
            writer.write_table(table.filter(pa.array(some > 0)))
            start += len(batch)
