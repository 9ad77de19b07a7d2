"""Rankings for all users of a run as Parquet shards, by one process or many, resumable.

A shard holds the rankings of consecutive users, in the order of the data. It appears whole or not at all.
So a killed process leaves no user with a part of a ranking, and the same command makes the missing shards.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lkgrag.errors import LkgragError, RunError
from lkgrag.serving.diversity import check_diversity
from lkgrag.serving.ranking import check_k, rank_in_batches
from lkgrag.serving.requests import Request, limited
from lkgrag.utils.files import atomic, read_json, sweep, write_json
from lkgrag.utils.locks import locked
from lkgrag.utils.shares import ALONE, Shares
from lkgrag.utils.sums import hash_file, read_sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lkgrag.serving.limits import Limits
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendation

log = logging.getLogger(__name__)

#: Readers of Parquet folders (pyarrow, Spark) ignore names that begin with an underscore.
MANIFEST = "_manifest.json"
#: SHA-256 of each shard, a line each, as ``sha256sum --check`` reads them; of two lines the last one counts.
SUMS = "_sha256sums"
#: Key of a shard's metadata for its number of users; a user who has chosen every item has no row.
USERS = b"lkgrag.users"
#: Version of the shards' columns.
FORMAT = 1


@dataclass(frozen=True)
class BulkRequest:
    """The rankings to make for every user of a run.

    Attributes:
        k: items a user.
        explain: word the paths.
        candidates: item indices to rank for everyone, int64; None for the proposals to each user.
        users_per_shard: users a file.
        limits: of all rankings; None for none.
        diversity: how much variety counts, from 0 to 1.
        made_from: plain values that the rankings also depend on; shards with other values are refused.
    """

    k: int
    explain: bool = True
    candidates: NDArray[np.int64] | None = None
    users_per_shard: int = 256
    limits: Limits | None = None
    diversity: float = 0.0
    made_from: dict[str, Any] = field(default_factory=dict)


def shard_name(number: int, count: int) -> str:
    """The name of a shard's file."""
    return f"part-{number:05d}-of-{count:05d}.parquet"


def recommend_all(
    ranker: Ranker,
    out: Path,
    request: BulkRequest,
    shares: Shares = ALONE,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Rank for every user of a run; memory does not grow with their number.

    Args:
        ranker: ranks.
        out: folder of the shards; shards that are there already are kept.
        request: the rankings to make.
        shares: this process and the others; each makes every ``world``-th shard.
        progress: called with (shards done, shards in all) of this process.

    Returns:
        Number of shards.

    Raises:
        ConfigError: ``k`` is below 1 or larger than the catalogue, or the diversity cannot be had.
        DataError: the ranker was shared without users.
        RunError: the folder holds rankings of another run or with other options, or is in use.
        LkgragError: an existing shard is broken, or nothing can be written.
    """
    check_k(ranker.context, request.k)
    check_diversity(ranker.context, request.diversity)
    ranker.context.users.refuse_unknown()
    users, size = ranker.context.users, request.users_per_shard
    count = max(1, math.ceil(len(users) / size))
    index = ranker.context.retriever.index
    manifest = {
        "format": FORMAT,
        "users": len(users),
        "users_per_shard": size,
        "shards": count,
        "k": request.k,
        "explain": request.explain,
        "candidates": None if request.candidates is None else request.candidates.tolist(),
        "allowed": None if request.limits is None else _hash(request.limits.allowed),
        # Shards of older versions have no such key.
        **({"diversity": request.diversity} if request.diversity else {}),
        # An index may leave out an item that all scores find; without one nothing changes.
        **({} if index is None else {"index": getattr(index, "kind", type(index).__name__)}),
        **request.made_from,
    }
    is_first = shares.rank == 0
    if is_first:
        _make_folder(out)
    shares.wait()
    lock = (
        locked(out / ".lock", wait=False, what=f"the folder {out}") if is_first else nullcontext()
    )
    with lock:
        if is_first:
            _write_manifest(out, manifest)
        shares.wait()
        sums = _read_sums(out)
        mine, few = range(shares.rank, count, shares.world), 0
        for done, number in enumerate(mine):
            if progress is not None:
                progress(done, len(mine))
            path = out / shard_name(number, count)
            first = number * size
            last = min(first + size, len(users))
            if path.exists():
                _check_shard(path, last - first, sums.get(path.name))
                continue
            few += write_shard(ranker, path, range(first, last), request)
        if progress is not None:
            progress(len(mine), len(mine))
        if few and request.limits is not None:
            text = "%s: %d items are left, and %d users of these shards have fewer than k=%d"
            log.warning(text, request.limits.words, request.limits.number, few, request.k)
        shares.wait()
    return count


def _make_folder(out: Path) -> None:
    """Create the folder of the shards.

    Raises:
        LkgragError: it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LkgragError(
            f"cannot write the folder {out}: {error.strerror}; choose another out="
        ) from error


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Write what the rankings depend on, or check that an earlier call wrote the same.

    Raises:
        RunError: the folder holds shards with another manifest, or with none.
    """
    sweep(out)
    path = out / MANIFEST
    if not path.exists():
        if any(out.glob("part-*.parquet")):
            raise RunError(
                f"{out} holds shards but no {MANIFEST}, which says how they were made: choose another "
                "out=, or empty it"
            )
        write_json(path, manifest)
        return
    content = read_json(path)
    stored = content if isinstance(content, dict) else {}
    for key in {**manifest, **stored}:
        old, new = stored.get(key), manifest.get(key)
        if old != new:
            raise RunError(
                f"{out} holds rankings made with {key}={_shorten(old)}, not {_shorten(new)}: "
                "choose another out=, or empty it"
            )


def _hash(allowed: NDArray[np.bool_]) -> str:
    """A hash of the items that rankings may hold."""
    return hashlib.sha256(allowed.tobytes()).hexdigest()[:16]


def _shorten(value: Any) -> str:
    """A plain value as a message shows it: JSON, cut if it is long."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_shard(path: Path, expected: int, digest: str | None) -> None:
    """Check that a shard of an earlier call is whole.

    Args:
        path: the file.
        expected: users that it must hold.
        digest: its SHA-256 when it was written; None for a shard of an older version.

    Raises:
        LkgragError: it is broken or damaged, or holds another number of users.
    """
    advice = "delete it and give the same command again; the other shards are kept"
    try:
        table = pq.read_table(path, columns=["user"])
        users = int((table.schema.metadata or {}).get(USERS, -1))
        if users < 0:
            # Another program wrote the file, without this key.
            users = pc.count_distinct(table.column(0)).as_py()
    except (OSError, ValueError, pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise LkgragError(f"{path}: broken shard ({error}); {advice}") from error
    if users != expected:
        raise LkgragError(f"{path}: a shard of {users} users, not of {expected}; {advice}")
    if digest is not None and hash_file(path) != digest:
        raise LkgragError(f"{path}: broken shard (its SHA-256 is not the one in {SUMS}); {advice}")


def _read_sums(out: Path) -> dict[str, str]:
    """SHA-256 of each shard by its name; empty in a folder of an older version."""
    path = out / SUMS
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split("  ", 1) for line in lines)
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _write_sum(path: Path, digest: str) -> None:
    """Note the SHA-256 of a shard, beside those of other processes."""
    with locked(path.with_name(".sums.lock"), wait=True):
        try:
            with open(path.with_name(SUMS), "a", encoding="utf-8") as file:
                file.write(f"{digest}  {path.name}\n")
        except OSError as error:
            raise LkgragError(
                f"cannot write {path.with_name(SUMS)}: {error.strerror}; choose another out="
            ) from error


def write_shard(ranker: Ranker, path: Path, users: range, request: BulkRequest) -> int:
    """Rank for the users of one shard and write its file.

    Args:
        ranker: ranks.
        path: the file.
        users: user indices.
        request: the rankings to make.

    Returns:
        How many of the rankings have fewer than ``k`` items.
    """
    requests = [
        Request(items, rating, request.candidates, user, index=index, diversity=request.diversity)
        for index, (user, (items, rating)) in zip(
            users, ranker.context.users.rows(users.start, users.stop), strict=True
        )
    ]
    requests = limited(requests, request.limits)
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
    with atomic(path) as tmp:
        rankings: list[Recommendation] = []
        for batch in rank_in_batches(
            ranker.model, ranker.context, requests, request.k, request.explain
        ):
            rankings += batch
        pq.write_table(pa.Table.from_pydict(_as_columns(rankings), schema), tmp)
        # Before the shard gets its name: no shard is there without its sum.
        _write_sum(path, hash_file(tmp))
    return sum(len(ranking.items) < request.k for ranking in rankings)


def _as_columns(rankings: list[Recommendation]) -> dict[str, list[Any]]:
    """The columns of a shard, with one row an item."""
    items = [item for ranking in rankings for item in ranking.items]
    names = ("rank", "item", "title", "score", "lm", "scorer", "prior")
    return {
        "user": [ranking.user for ranking in rankings for _ in ranking.items],
        **{name: [getattr(item, name) for item in items] for name in names},
        "paths": [[path.words for path in item.paths] for item in items],
        "salience": [[path.salience for path in item.paths] for item in items],
    }


def fingerprint(folder: Path) -> str:
    """A hash of the files of a saved ranker, because other weights or graphs make other rankings."""
    sums = read_sums(folder)
    if isinstance(sums, dict) and sums:
        # Loading the ranker has compared its files with these sums.
        return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()[:16]
    hasher = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        hasher.update(str(path.relative_to(folder)).encode())
        hasher.update(bytes.fromhex(hash_file(path)))
    return hasher.hexdigest()[:16]
