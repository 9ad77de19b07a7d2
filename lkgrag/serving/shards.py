"""Rankings for all users of a run, as shards in Parquet: by one process or many, resumable.

A shard holds the rankings of a run of users in the order of the data; it appears whole or not at all, so
a killed process leaves no user half there, and the same command again makes what is missing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.errors import LkgragError, RunError
from lkgrag.serving.ranking import check_number, iterate
from lkgrag.serving.requests import Request
from lkgrag.utils.files import atomic, read_json, sweep, write_json
from lkgrag.utils.locks import locked
from lkgrag.utils.shares import ALONE, Shares

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendation

#: Readers of Parquet folders (pyarrow, Spark) pass over names that begin so.
MANIFEST = "_manifest.json"
#: Under which a shard says how many users were ranked; one who has chosen everything has no row.
USERS = b"lkgrag.users"
#: Version of the shards' columns.
FORMAT = 1


@dataclass(frozen=True)
class BulkRequest:
    """The rankings to make for every user of a run.

    Attributes:
        k: items a user.
        explain: word the paths.
        candidates: item indices to rank for everyone; each one's own proposals if None.
        users_per_shard: users a file.
        made_from: what the rankings depend on beside these; shards of anything else are refused.
    """

    k: int
    explain: bool = True
    candidates: NDArray[np.int64] | None = None
    users_per_shard: int = 256
    made_from: dict[str, Any] = field(default_factory=dict)


def shard_name(number: int, count: int) -> str:
    """The file of a shard."""
    return f"part-{number:05d}-of-{count:05d}.parquet"


def recommend_all(
    ranker: Ranker,
    out: Path,
    wanted: BulkRequest,
    shares: Shares = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Rank for every user of a run; memory does not grow with their number.

    Args:
        ranker: that serves.
        out: folder of the shards; what of them is there already is kept.
        wanted: the rankings to make.
        shares: this process and the others; each makes every ``world``-th shard.
        progress: called with (shards done, shards in all) of this process.

    Returns:
        Shards in all.

    Raises:
        ConfigError: ``k`` is larger than the catalogue.
        RunError: the folder holds rankings of another run or with other options, or is in use.
        LkgragError: a shard that is there is broken, or nothing can be written.
    """
    check_number(ranker.context, wanted.k)
    users, size = ranker.context.users, wanted.users_per_shard
    count = max(1, math.ceil(len(users) / size))
    manifest = {
        "format": FORMAT,
        "users": len(users),
        "users_per_shard": size,
        "shards": count,
        "k": wanted.k,
        "explain": wanted.explain,
        "candidates": None if wanted.candidates is None else wanted.candidates.tolist(),
        **wanted.made_from,
    }
    is_first = shares.rank == 0
    if is_first:
        _folder(out)
    shares.wait()
    main = (
        locked(out / ".lock", wait=False, what=f"the folder {out}") if is_first else nullcontext()
    )
    with main:
        if is_first:
            _begin(out, manifest)
        shares.wait()
        mine = range(shares.rank, count, shares.world)
        for done, number in enumerate(mine):
            if progress is not None:
                progress(done, len(mine))
            path = out / shard_name(number, count)
            first = number * size
            last = min(first + size, len(users))
            if path.exists():
                _check(path, last - first)
                continue
            _make(ranker, path, range(first, last), wanted)
        if progress is not None:
            progress(len(mine), len(mine))
        shares.wait()
    return count


def _folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LkgragError(
            f"cannot write the folder {out}: {error.strerror}; choose another out="
        ) from error


def _begin(out: Path, manifest: dict[str, Any]) -> None:
    """Write what the folder holds, or see that it holds the same."""
    sweep(out)
    path = out / MANIFEST
    if not path.exists():
        if any(out.glob("part-*.parquet")):
            raise RunError(
                f"{out} holds shards but no {MANIFEST}, so what they are of cannot be known: choose "
                "another out=, or empty it"
            )
        write_json(path, manifest)
        return
    found = read_json(path)
    for key in {**manifest, **(found if isinstance(found, dict) else {})}:
        old = found.get(key) if isinstance(found, dict) else None
        if old != manifest.get(key):
            raise RunError(
                f"{out} holds rankings made with {key}={_short(old)}, not {_short(manifest.get(key))}: "
                "choose another out=, or empty it"
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check(path: Path, wanted: int) -> None:
    """See that a shard of an earlier call is whole."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    advice = "delete it and give the same command again; the other shards are kept"
    try:
        table = pq.read_table(path, columns=["user"])
        found = int((table.schema.metadata or {}).get(USERS, -1))
        if found < 0:
            # Written by something else, which does not say it.
            found = pc.count_distinct(table.column(0)).as_py()
    except (OSError, ValueError, pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise LkgragError(f"{path}: broken shard ({error}); {advice}") from error
    if found != wanted:
        raise LkgragError(f"{path}: a shard of {found} users, not of {wanted}; {advice}")


def _make(ranker: Ranker, path: Path, users: range, wanted: BulkRequest) -> None:
    """Rank for the users of one shard, by their indices, and write it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    requests = [
        Request(items, rating, wanted.candidates, user, index=index)
        for index, (user, (items, rating)) in zip(
            users, ranker.context.users.rows(users.start, users.stop), strict=True
        )
    ]
    schema = pa.schema(
        [
            ("user", pa.string()),
            ("rank", pa.int32()),
            ("item", pa.string()),
            ("title", pa.string()),
            *((name, pa.float32()) for name in ("score", "lm", "scorer", "prior")),
            ("paths", pa.list_(pa.string())),
            ("salience", pa.list_(pa.float32())),
        ],
        {USERS: str(len(requests)).encode()},
    )
    with atomic(path) as tmp, pq.ParquetWriter(tmp, schema) as writer:
        rows: list[dict[str, Any]] = []
        for part in iterate(ranker.model, ranker.context, requests, wanted.k, wanted.explain):
            rows += [row for one in part for row in _rows(one)]
        writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(one: Recommendation) -> list[dict[str, Any]]:
    return [
        {
            "user": one.user,
            "rank": item.rank,
            "item": item.item,
            "title": item.title,
            "score": item.score,
            "lm": item.lm,
            "scorer": item.scorer,
            "prior": item.prior,
            "paths": [p.words for p in item.paths],
            "salience": [p.salience for p in item.paths],
        }
        for item in one.items
    ]


def fingerprint(folder: Path) -> str:
    """A hash of the files of a saved ranker: of other weights or another graph are other rankings."""
    hasher = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        hasher.update(str(path.relative_to(folder)).encode())
        with open(path, "rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return hasher.hexdigest()[:16]
