"""The sequences of some users in their order, and the rule for interactions at the same time."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.data.large.cleaning import WHEN
from lkgrag.utils.duck import known, parquet
from lkgrag.utils.files import atomic, write_json
from lkgrag.utils.parts import load_array, save_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.utils.duck import Duck

SCHEMA = pa.schema(
    {
        "user": pa.int32(),
        "position": pa.int32(),
        "item": pa.int32(),
        "rating": pa.float32(),
        "time": pa.float64(),
    }
)


def write_kept(counts: dict[str, NDArray[np.int64]], folder: Path) -> dict[str, Path]:
    """Write which users and items are kept, bool by old index; the files by kind."""
    out = {}
    for kind, count in counts.items():
        out[kind] = folder / f"kept-{kind}.npy"
        save_array(out[kind], count > 0)
    return out


def put_indices(duck: Duck, kind: str, kept: Path, bounds: tuple[int, int] | None = None) -> None:
    """Give the indices of the users or items that are kept, old and new, the name ``user_map`` or ``item_map``.

    Args:
        duck: the database.
        kind: ``user`` or ``item``.
        kept: file of :func:`write_kept`.
        bounds: first old index, and the one after the last; all by default.
    """
    is_kept = load_array(kept, is_mapped=True)
    first, end = bounds or (0, len(is_kept))
    old = np.flatnonzero(is_kept[first:end]) + first
    new = np.count_nonzero(is_kept[:first]) + np.arange(len(old))
    duck.put(f"{kind}_map", {"old": old.astype(np.int32), "new": new.astype(np.int32)})


def write_sequences(
    duck: Duck,
    clean: Path,
    bounds: tuple[int, int],
    kept: dict[str, Path],
    ids: dict[str, Path],
    config: DataConfig,
    path: Path,
) -> None:
    """Write the sequences of some users.

    Args:
        duck: the database.
        clean: file of the users' interactions.
        bounds: the old index of the first user, and that after the last.
        kept: files of :func:`write_kept`, by kind.
        ids: files of the ids, by kind.
        config: rule for equal times.
        path: of the file: rows by user, then position.
    """
    put_indices(duck, "user", kept["user"], bounds)
    put_indices(duck, "item", kept["item"])
    rows = duck.columns(
        "select m.new as user, n.new as item, c.user as old_user, c.item as old_item, c.rating, c.time "
        f"from {parquet([clean])} c join user_map m on c.user = m.old join item_map n on c.item = n.old "
        f"order by m.new, {WHEN}, c.row"
    )
    for kind in kept:
        duck.forget(f"{kind}_map")
    user = rows["user"]
    if config.ties != "file":
        order = _tied_order(duck, rows, ids, config)
        rows = {name: values[order] for name, values in rows.items()}
    first = np.flatnonzero(np.diff(user, prepend=-1))
    length = np.diff(first, append=len(user))
    position = np.arange(len(user)) - np.repeat(first, length)
    table = pa.table(
        [
            pa.array(user.astype(np.int32)),
            pa.array(position.astype(np.int32)),
            pa.array(rows["item"].astype(np.int32)),
            known(rows["rating"].astype(np.float32)),
            known(rows["time"]),
        ],
        schema=SCHEMA,
    )
    with atomic(path) as tmp:
        pq.write_table(table, tmp, compression="zstd")


def write_facts(duck: Duck, sequences: Path, has_repetitions: bool, path: Path) -> None:
    """Count what is told of the sequences of some users.

    Args:
        duck: the database.
        sequences: file of :func:`write_sequences`.
        has_repetitions: whether a user may have an item more than once.
        path: of the file (JSON): ``rows`` and ``users``; ``known``, rows with a time; ``tied``, those at the same time
            as the one before; ``tied_last``, users whose last one is tied; ``early``, users who begin at time 0 or 1;
            and ``repeated``, whether a user has an item twice.
    """
    same = "coalesce(user = lag(user) over () and time = lag(time) over (), false)"
    last = "coalesce(user <> lead(user) over (), true)"
    table = parquet([sequences])
    names = ("rows", "known", "tied", "users", "tied_last", "early")
    found = duck.row(
        "select count(*), count(time), count(*) filter (same), count(*) filter (last), "
        "count(*) filter (same and last), count(*) filter (position = 0 and time <= 1) "
        f"from (select time, position, {same} as same, {last} as last from {table})"
    )
    twice = f"select count(*) from (select 1 from {table} group by user, item having count(*) > 1 limit 1)"
    is_repeated = has_repetitions and bool(duck.row(twice)[0])
    write_json(path, {**dict(zip(names, found, strict=True)), "repeated": is_repeated})


def _tied_order(
    duck: Duck, rows: dict[str, NDArray], ids: dict[str, Path], config: DataConfig
) -> NDArray[np.int64]:
    """The order of rows by ``data.ties``, int64 ``[N]``; rows come in the order of user, time, file."""
    user, time = rows["user"], rows["time"]
    # NaN equals nothing: interactions without a time keep the order of the file.
    same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    order = np.arange(len(user))
    is_tied = np.zeros(len(user), bool)
    is_tied[1:] |= same
    is_tied[:-1] |= same
    place = np.flatnonzero(is_tied)
    if not len(place):
        return order
    run = np.cumsum(np.concatenate([[True], ~same]))[place]
    if config.ties == "id":
        key = rows["item"][place]
    else:
        key = _hashes(duck, rows["old_user"][place], rows["old_item"][place], ids, config.tie_seed)
    order[place] = place[np.lexsort((key, run))]
    return order


def _hashes(
    duck: Duck,
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    ids: dict[str, Path],
    seed: int,
) -> NDArray[np.int64]:
    """The hashes of :func:`~lkgrag.data.interactions.tie_key`, int64 ``[N]``."""
    duck.put("tied", {"place": np.arange(len(user)), "user": user, "item": item})
    users, items = (
        f"(select id, file_row_number as number from {parquet([ids[kind]], is_numbered=True)})"
        for kind in ("user", "item")
    )
    key = f"lkgrag-{seed}".encode()
    out = np.empty(len(user), np.int64)
    sql = (
        f"select t.place, u.id as user, i.id as item from tied t join {users} u on t.user = u.number "
        f"join {items} i on t.item = i.number"
    )
    for batch in duck.batches(sql):
        texts = zip(batch["user"].to_pylist(), batch["item"].to_pylist(), strict=True)
        digests = (
            int.from_bytes(blake2b(f"{u}\t{i}".encode(), digest_size=7, key=key).digest(), "big")
            for u, i in texts
        )
        out[batch["place"].to_numpy()] = np.fromiter(digests, np.int64, len(batch))
    duck.forget("tied")
    return out
