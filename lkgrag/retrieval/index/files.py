"""The files of an index. They only save the time to build it: what they hold follows from the retriever."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import LkgragError
from lkgrag.retrieval.index import library
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.retrieval.index.systems import IndexedSystems
from lkgrag.retrieval.index.vectors import FusedVectors
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.sums import hash_file

if TYPE_CHECKING:
    from lkgrag.retrieval.fusion.retriever import FusedRetriever

INDEX, META = "items.faiss", "index.json"
#: Version of the files.
FORMAT = 1
#: Items whose vectors identify a retriever.
COMPARED = 1_000


def write_index(index: ItemIndex, folder: Path) -> None:
    """Write an index.

    Args:
        index: to write.
        folder: of it; it is made.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    library.write(index.index, folder / INDEX)
    meta = {
        "format": FORMAT,
        "kind": index.kind,
        "seed": index.seed,
        "identity": identity(index.vectors),
        "sha256": hash_file(folder / INDEX),
    }
    write_json(folder / META, meta)


def read_index(folder: Path, retriever: FusedRetriever, kind: str, seed: int) -> ItemIndex | None:
    """Read an index.

    Args:
        folder: of :func:`write_index`.
        retriever: that it must belong to.
        kind: that it must be of.
        seed: of it.

    Returns:
        None if it is of another kind, seed or version.

    Raises:
        LkgragError: a file is missing or broken, or belongs to another retriever.
    """
    meta = read_json(folder / META)
    if not isinstance(meta, dict):
        raise LkgragError(f"{folder / META}: broken, it holds no object")
    if [meta.get(key) for key in ("format", "kind", "seed")] != [FORMAT, kind, seed]:
        return None
    path = folder / INDEX
    if not path.is_file():
        raise LkgragError(f"{path}: no such file")
    if hash_file(path) != meta.get("sha256"):
        raise LkgragError(f"{path}: broken, its SHA-256 is not the one in {META}")
    vectors = FusedVectors.of(IndexedSystems(retriever, seed), seed)
    if identity(vectors) != meta.get("identity"):
        raise LkgragError(f"{path}: belongs to another retriever")
    index = library.read(path)
    if index.ntotal != retriever.num_items or library.width_of(index) != vectors.width:
        raise LkgragError(f"{path}: belongs to another retriever")
    return ItemIndex(kind, seed, vectors, index)


def identity(vectors: FusedVectors) -> str:
    """A hash of what an index is made of: vectors of some items, and their number.

    They are rounded, since another machine may sum in another order.
    """
    number = vectors.systems.num_items
    step = max(1, number // COMPARED)
    parts = [vectors.items(item, item + 1) for item in range(0, number, step)]
    rounded = np.round(np.concatenate(parts) * 100).astype(np.int32)
    return hashlib.sha256(f"{number} {vectors.width} ".encode() + rounded.tobytes()).hexdigest()
