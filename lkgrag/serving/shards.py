"""Rankings for all users of a run as Parquet shards, by one process or many, resumable.

A shard holds the rankings of consecutive users, in the order of the data. It appears whole or not at all.
So a killed process leaves no user with a part of a ranking, and the same command makes the missing shards.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.serving.arguments import check_k
from lkgrag.serving.diversity import check_diversity
from lkgrag.serving.ranking import rank_in_batches
from lkgrag.serving.requests import Request, limited
from lkgrag.serving.shard_files import (
    FORMAT,
    USERS,
    ShardPlan,
    make_folder,
    read_shard_sums,
    write_manifest,
    write_sum,
)
from lkgrag.utils.files import atomic
from lkgrag.utils.locks import locked
from lkgrag.utils.shares import ALONE, Shares
from lkgrag.utils.sums import hash_file, read_sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lkgrag.serving.context import Context
    from lkgrag.serving.limits import Limits
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendation

log = logging.getLogger(__name__)


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
    plan, manifest = plan_shards(ranker.context, out, request)
    is_first = shares.rank == 0
    if is_first:
        make_folder(out)
    shares.wait()
    lock = (
        locked(out / ".lock", wait=False, what=f"the folder {out}") if is_first else nullcontext()
    )
    with lock:
        if is_first:
            write_manifest(out, manifest)
        shares.wait()
        sums = read_shard_sums(out)
        mine, few = range(shares.rank, plan.count, shares.world), 0
        for done, number in enumerate(mine):
            if progress is not None:
                progress(done, len(mine))
            if not plan.is_made(number, sums):
                few += write_shard(ranker, plan.path(number), plan.rows(number), request)
        if progress is not None:
            progress(len(mine), len(mine))
        warn_of_few(request, few)
        shares.wait()
    return plan.count


def plan_shards(
    context: Context, out: Path, request: BulkRequest
) -> tuple[ShardPlan, dict[str, Any]]:
    """Which shards there are to be, and the manifest: what they depend on.

    Args:
        context: of the ranker.
        out: folder of the shards.
        request: the rankings to make.

    Raises:
        ConfigError: ``k`` is below 1 or larger than the catalogue, or the diversity cannot be had.
        DataError: the ranker was shared without users.
    """
    check_k(context, request.k)
    check_diversity(context, request.diversity)
    context.users.refuse_unknown()
    plan = ShardPlan(out, len(context.users), request.users_per_shard)
    index = context.retriever.index
    return plan, {
        "format": FORMAT,
        "users": plan.users,
        "users_per_shard": plan.size,
        "shards": plan.count,
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


def warn_of_few(request: BulkRequest, few: int) -> None:
    """Warn if limits leave users with fewer than ``k`` items.

    Args:
        request: of the rankings.
        few: such users.
    """
    if few and request.limits is not None and not request.limits.is_empty:
        text = "%s: %d items are left, and %d users of these shards have fewer than k=%d"
        log.warning(text, request.limits.words, request.limits.number, few, request.k)


def _hash(allowed: NDArray[np.bool_]) -> str:
    """A hash of the items that rankings may hold."""
    return hashlib.sha256(allowed.tobytes()).hexdigest()[:16]


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
        write_sum(path, hash_file(tmp))
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
