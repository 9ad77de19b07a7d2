"""A split of a store: what trains, and which events are predicted, in files."""

from __future__ import annotations

import shutil
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.config.identity import digest, to_dict
from lkgrag.data.large.making import OF_SPLITS
from lkgrag.data.splits import check_split
from lkgrag.data.splits.base import Spans
from lkgrag.data.splits.last import last_spans
from lkgrag.data.splits.time import place_of_share, split_points, time_spans
from lkgrag.errors import DataError, RunError
from lkgrag.utils.duck import known, parquet
from lkgrag.utils.files import atomic, read_json, write_json
from lkgrag.utils.parts import load_array, read_part, save_array
from lkgrag.utils.steps import Hands, Task, hands_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.data.large.store import Store
    from lkgrag.utils.duck import Duck

#: Says which split a folder holds, from the first part on.
META = "split.json"
#: Folders of the parts.
NAMES = ("training", "val", "test")
#: Ranges of times that are counted in one pass.
BINS = 1 << 16
TRAINING = pa.schema(
    {
        "user": pa.int32(),
        "item": pa.int32(),
        "position": pa.int32(),
        "after": pa.int32(),
        "rating": pa.float32(),
        "time": pa.float64(),
    }
)
EVENTS = pa.schema({"user": pa.int32(), "position": pa.int32(), "target": pa.int32()})


def split_store(hands: Hands | Duck, store: Store, config: DataConfig) -> list[Path]:
    """Split the sequences by ``data.split``, as :func:`~lkgrag.data.splits.make_split` does.

    Writes ``training/part-*.parquet`` (``after`` is the number of training interactions of the user after this
    one), ``val/part-*.parquet`` and ``test/part-*.parquet`` (``user position target``). Parts that are there are kept.

    Args:
        hands: who makes the parts; of a database, this process.
        store: the sequences.
        config: of the data.

    Returns:
        The files of the training interactions.

    Raises:
        RunError: the folder holds another split.
        DataError: no user is long enough, a time is unknown that ``time`` needs, or a part would be empty.
        ConfigError: a number or a point in time does not fit, or there is no such split.
    """
    check_split(config)
    if config.split == "time" and not store.meta["unknown_times"]:
        store.need_times("data.split=time")
    options = {k: v for k, v in to_dict(config).items() if k in OF_SPLITS and k != "root"}
    key = digest({"options": options, "store": store.meta["key"]})
    folder = store.folder
    training = [folder / "training" / path.name for path in store.parts]
    if (folder / META).exists() and read_json(folder / META).get("key") != key:
        raise RunError(f"{folder}: holds another split; choose another out=, or overwrite=true")
    if all((folder / name / path.name).exists() for name in NAMES for path in store.parts):
        return training
    hands = hands_of(hands)
    spans = _write_spans(_spans(hands.duck, store, config), folder / "work" / "spans")
    write_json(folder / META, {"key": key})
    # The last file of a part is there when all are.
    hands.do(
        "split the sequences",
        [
            Task(folder / NAMES[-1] / path.name, _write_part, (path, folder, spans))
            for path in store.parts
        ],
    )
    shutil.rmtree(folder / "work", ignore_errors=True)
    return training


def _write_spans(spans: Spans, folder: Path) -> dict[str, Path]:
    """Write where the parts of the split lie; the files by the names of the arrays."""
    found = {}
    for field in fields(spans):
        found[field.name] = folder / f"{field.name}.npy"
        save_array(found[field.name], getattr(spans, field.name))
    return found


def _spans(duck: Duck, store: Store, config: DataConfig) -> Spans:
    """Where the parts of the split lie."""
    count = store.counts("user")
    if config.split == "leave_one_out":
        return last_spans(count)
    if config.split == "rolling":
        return last_spans(count, config.rolling)
    table = parquet(store.parts)
    unknown = store.meta["unknown_times"]
    if unknown:
        raise DataError(
            f"data.split=time: {unknown} of {len(store)} interactions have no time; name the column by data.columns, "
            "or take data.split=leave_one_out"
        )
    points = split_points(config, partial(time_at_share, duck, table))
    before_val, before_test = (
        duck.sums(
            f"select user as place, 1 as value from {table} where time < {point!r}::double",
            store.num_users,
        )
        for point in points
    )
    return time_spans(count, before_val, before_test, config.rolling)


def time_at_share(duck: Duck, table: str, share: float, before: float) -> float | None:
    """The time such that about a share of the times before a point is earlier, without sorting all of them.

    One pass counts the times in ranges, another one those in the range of the wanted place.

    Args:
        duck: the database.
        table: with the column ``time``.
        share: as of :func:`~lkgrag.data.splits.time.place_of_share`.
        before: only earlier times count.

    Returns:
        None where no time is earlier.
    """
    some = f"{table} where time < '{before!r}'::double"
    number, low, high = duck.row(f"select count(*), min(time), max(time) from {some}")
    if not number:
        return None
    place = place_of_share(share, int(number))
    width = max((float(high) - float(low)) / BINS, sys.float_info.min)
    # Not decreasing in the time, so that ranges of times follow one another.
    within = f"floor((time - {float(low)!r}::double) / {width!r}::double)"
    bins = duck.columns(
        f"select {within} as bin, count(*) as n from {some} group by bin order by bin"
    )
    total = np.cumsum(bins["n"])
    which = int(np.searchsorted(total, place, side="right"))
    left = place - (int(total[which - 1]) if which else 0)
    times = (
        f"select time, count(*) as n from {some} and {within} = {float(bins['bin'][which])!r}::double "
        "group by time order by time"
    )
    for batch in duck.batches(times):
        counts = np.cumsum(batch["n"].to_numpy())
        if counts[-1] > left:
            return float(batch["time"][int(np.searchsorted(counts, left, side="right"))].as_py())
        left -= int(counts[-1])
    raise AssertionError("the place lies within its range")


def _write_part(duck: Duck, path: Path, folder: Path, files: dict[str, Path]) -> None:
    """Write what a part of the sequences trains, validates and tests."""
    # Mapped: only the part's users are read.
    spans = Spans(**{name: load_array(file, is_mapped=True) for name, file in files.items()})
    outs = {name: folder / name / path.name for name in NAMES}
    table = read_part(path)
    user, position = table["user"].to_numpy(), table["position"].to_numpy()
    train_end = spans.train_end[user]
    columns = {
        name: table[name].to_numpy() for name in ("user", "item", "position", "rating", "time")
    }
    columns["after"] = train_end - position - 1
    _write(outs["training"], TRAINING, columns, position < train_end)
    columns["target"] = columns["item"]
    for name, first, number in (
        ("val", spans.val_start[user], spans.val_number[user]),
        ("test", spans.test_start[user], spans.test_number[user]),
    ):
        _write(outs[name], EVENTS, columns, (position >= first) & (position < first + number))


def _write(
    path: Path, schema: pa.Schema, columns: dict[str, NDArray], keep: NDArray[np.bool_]
) -> None:
    arrays = [known(columns[f.name][keep]).cast(f.type) for f in schema]
    with atomic(path) as tmp:
        pq.write_table(pa.table(arrays, schema=schema), tmp, compression="zstd")
