"""Interactions of any number with Amazon Beauty's degrees, written part by part, so that memory does not grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.scale.synthetic import FILE, _joined
from lkgrag.utils.files import atomic, read_json

#: Communities of Beauty's size that are joined at a time.
CHUNK = 50
#: Times lie within four years, in seconds.
FIRST, SPAN = 1_300_000_000, 4 * 365 * 86_400


def communities(number: int) -> int:
    """How many communities of Beauty's size have about that many interactions."""
    said = read_json(FILE)
    size = sum(int(degree) * users for degree, users in said["user"].items())
    return max(1, round(number / size))


def write_events(scale: int, path: Path, seed: int) -> int:
    """Write interactions, in the order of no user and no time.

    Args:
        scale: number of communities of Beauty's size.
        path: of the Parquet file: ``user item`` (int64) and ``time``.
        seed: of all draws.

    Returns:
        Their number.
    """
    said = read_json(FILE)
    users, items = (sum(said[kind].values()) for kind in ("user", "item"))
    rng = np.random.default_rng([seed, scale, 0xE])
    # Nothing near in memory is near in the graph.
    shuffled = rng.permutation(scale * items)
    schema = pa.schema({"user": pa.int64(), "item": pa.int64(), "time": pa.int64()})
    total = 0
    with atomic(path) as tmp, pq.ParquetWriter(tmp, schema, compression="zstd") as writer:
        for start in range(0, scale, CHUNK):
            size = min(CHUNK, scale - start)
            user, item = _joined(said["user"], said["item"], size, rng)
            order = rng.permutation(len(user))
            columns = [
                user[order] + start * users,
                shuffled[item[order] + start * items],
                FIRST + rng.integers(0, SPAN, len(user)),
            ]
            writer.write_table(pa.table(columns, schema=schema))
            total += len(user)
    return total
