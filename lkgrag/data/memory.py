"""Runs on data in memory. A hash of the content identifies the data, as there are no files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.config import DataConfig
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from lkgrag.data.interactions import Interactions

#: Prefix of ``data.reader`` in such a run; the hash follows.
MEMORY = "memory-"
#: The name of such data unless ``data.name`` is set.
NAME = "memory"


def content_digest(interactions: Interactions) -> str:
    """Compute the SHA-256 of everything that a run uses of the interactions, in hexadecimal."""
    x, sha = interactions, hashlib.sha256()
    for array, kind in ((x.indptr, "<i8"), (x.item, "<i8"), (x.rating, "<f4"), (x.time, "<f8")):
        sha.update(np.ascontiguousarray(array).astype(kind).tobytes())
    tables = [t.to_dict("list") for t in (x.items, x.users, x.triples, x.links)]
    sha.update(json.dumps([x.user_ids, x.item_ids, tables], default=str).encode())
    if x.graph is not None:
        sha.update(x.graph.digest().encode())
    return sha.hexdigest()


def in_memory(config: DataConfig, interactions: Interactions) -> DataConfig:
    """Return the options for a run on these interactions, with their hash in ``data.reader``.

    So a run on other interactions has another folder, and other cached stages.
    """
    reader = MEMORY + content_digest(interactions)[:16]
    name = NAME if config.name == DataConfig().name else config.name
    return dataclasses.replace(config, reader=reader, name=name, root=None)


def check_same(config: DataConfig, interactions: Interactions) -> None:
    """Refuse interactions that are not those of a run.

    Raises:
        DataError: the run was made on files, or on other interactions.
    """
    if config.reader != in_memory(config, interactions).reader:
        raise DataError(
            f"interactions: not those of the run (data.reader={config.reader}); build them exactly as "
            "for its training"
        )


def refuse_reading(reader: str) -> None:
    """Refuse to read data from files that were in memory.

    Raises:
        DataError: the reader's name stands for data in memory.
    """
    if reader.startswith(MEMORY):
        raise DataError(
            f"data.reader={reader}: the data of this run were in memory; pass them in Python to "
            "lkgrag.train or lkgrag.evaluate as interactions="
        )
