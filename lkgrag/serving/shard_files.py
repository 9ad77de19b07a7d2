"""The folder of shards: its manifest, the sums of its files, and what is there already."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lkgrag.errors import LkgragError, RunError
from lkgrag.utils.files import read_json, sweep, write_json
from lkgrag.utils.locks import locked
from lkgrag.utils.sums import hash_file

#: Readers of Parquet folders (pyarrow, Spark) ignore names that begin with an underscore.
MANIFEST = "_manifest.json"
#: SHA-256 of each shard, a line each, as ``sha256sum --check`` reads them; of two lines the last one counts.
SUMS = "_sha256sums"
#: Key of a shard's metadata for its number of users; a user who has chosen every item has no row.
USERS = b"lkgrag.users"
#: Version of the shards' columns.
FORMAT = 1
#: What the manifest leaves out where it is so, as those of older versions do.
LEFT_OUT = {"diversity": 0.0, "index": "exact"}


def shard_name(number: int, count: int) -> str:
    """The name of a shard's file."""
    return f"part-{number:05d}-of-{count:05d}.parquet"


@dataclass(frozen=True)
class ShardPlan:
    """Which users are in which shard.

    Attributes:
        out: folder of the shards.
        users: number of users.
        size: users a shard.
    """

    out: Path
    users: int
    size: int

    @property
    def count(self) -> int:
        """Number of shards; one without a user if there is none."""
        return max(1, math.ceil(self.users / self.size))

    def path(self, number: int) -> Path:
        """The file of a shard."""
        return self.out / shard_name(number, self.count)

    def rows(self, number: int) -> range:
        """The user indices of a shard."""
        first = number * self.size
        return range(first, min(first + self.size, self.users))

    def is_made(self, number: int, sums: dict[str, str]) -> bool:
        """Whether a shard is there.

        Args:
            number: of the shard.
            sums: SHA-256 by the name of a shard.

        Raises:
            LkgragError: it is there, but broken or damaged, or holds another number of users.
        """
        path = self.path(number)
        if not path.exists():
            return False
        check_shard(path, len(self.rows(number)), sums.get(path.name))
        return True


def make_folder(out: Path) -> None:
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


def write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Write what the rankings depend on, or check that an earlier call wrote the same.

    Raises:
        RunError: the folder holds shards with another manifest, or with none.
    """
    sweep(out)
    path = out / MANIFEST
    has_shards = any(out.glob("part-*.parquet"))
    if not path.exists() and has_shards:
        raise RunError(
            f"{out} holds shards but no {MANIFEST}, which says how they were made: choose another "
            "out=, or empty it"
        )
    if not has_shards:
        # A call that was stopped before its first shard binds nobody.
        write_json(path, manifest)
        return
    content = read_json(path)
    stored = content if isinstance(content, dict) else {}
    for key in {**manifest, **stored}:
        old, new = (values.get(key, LEFT_OUT.get(key)) for values in (stored, manifest))
        if old != new:
            raise RunError(
                f"{out} holds rankings made with {key}={_shorten(old)}, not {_shorten(new)}: "
                "choose another out=, or empty it"
            )


def _shorten(value: Any) -> str:
    """A plain value as a message shows it: JSON, cut if it is long."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_shard(path: Path, expected: int, digest: str | None) -> None:
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


def read_shard_sums(out: Path) -> dict[str, str]:
    """SHA-256 of each shard by its name; empty in a folder of an older version."""
    path = out / SUMS
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split("  ", 1) for line in lines)
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def write_sum(path: Path, digest: str) -> None:
    """Note the SHA-256 of a shard, beside those of other processes."""
    with locked(path.with_name(".sums.lock"), wait=True):
        try:
            with open(path.with_name(SUMS), "a", encoding="utf-8") as file:
                file.write(f"{digest}  {path.name}\n")
        except OSError as error:
            raise LkgragError(
                f"cannot write {path.with_name(SUMS)}: {error.strerror}; choose another out="
            ) from error
