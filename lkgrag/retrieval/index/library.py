"""faiss, the library of the index: build, search, write and read."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.errors import ConfigError, LkgragError, short
from lkgrag.utils.files import atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    #: Vectors of the items from one to another.
    Rows = Callable[[int, int], NDArray[np.float32]]

MISSING = 'serving.index={kind}: faiss is not installed: pip install "lkgrag[index]"'
#: Neighbours of an item in the graph of ``hnsw``; items that are looked at while it is built, and in a search.
NEIGHBOURS, BUILDING, SEARCHING = 32, 200, 400
#: Numbers of a vector that share a byte in ``ivfpq``; lists per square root of the items; share of lists that are read.
NUMBERS_A_BYTE, LISTS, PROBES = 2, 4, 0.025
#: Items of ``ivfpq`` at least: a part of a vector has so many codes. Fewer are all read.
FEWEST = 256
#: Lists that are read at least.
LEAST_PROBES = 48
#: Vectors a list that its centre is learned from, and rounds of that.
LEARNED, ROUNDS = 48, 8
#: Items of a block.
BLOCK = 65_536


def is_installed() -> bool:
    """Whether faiss can be imported."""
    try:
        # Only here: it belongs to an extra.
        import faiss  # noqa: F401
    except ImportError:
        return False
    return True


def load_library(kind: str) -> Any:
    """The module.

    Args:
        kind: of the index, for the message.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        # Only here: it belongs to an extra.
        import faiss
    except ImportError:
        raise ConfigError(MISSING.format(kind=kind)) from None
    return faiss


def build(kind: str, rows: Rows, number: int, width: int, seed: int) -> Any:
    """Build an index for largest inner products.

    Args:
        kind: ``flat``, which reads every item, ``hnsw`` or ``ivfpq``.
        rows: gives the vectors of items.
        number: of the items.
        width: of the vectors.
        seed: of what is drawn.

    Returns:
        An index of faiss.
    """
    faiss = load_library(kind)
    if kind == "flat" or (kind == "ivfpq" and number < FEWEST):
        index = faiss.IndexFlatIP(width)
    elif kind == "hnsw":
        rows = _lengthened(rows, number)
        index = faiss.IndexHNSWFlat(width + 1, NEIGHBOURS, faiss.METRIC_L2)
        index.hnsw.efConstruction = BUILDING
        index.hnsw.efSearch = SEARCHING
        index.hnsw.rng = faiss.RandomGenerator(seed % 2**31)
    else:
        index = _empty_lists(faiss, number, width, seed)
        learned = min(number, LEARNED * max(index.nlist, 256))
        drawn = np.sort(np.random.default_rng([seed, 0x1F]).choice(number, learned, replace=False))
        index.train(_some(rows, drawn, number))
    # Threads add items to the graph in the order in which they come.
    with _one_thread(faiss) if kind == "hnsw" else nullcontext():
        for start in range(0, number, BLOCK):
            index.add(rows(start, min(start + BLOCK, number)))
    return index


def _lengthened(rows: Rows, number: int) -> Rows:
    """Vectors with one number more, which makes all equally long.

    Then the nearest to a query with 0 there has the largest product, and neighbours are near one another, as a graph needs.
    Bachrach et al., "Speeding Up the Xbox Recommender System Using a Euclidean Transformation for Inner-Product
    Spaces" (RecSys 2014).
    """
    starts = range(0, number, BLOCK)
    squares = [np.square(rows(s, min(s + BLOCK, number))).sum(1) for s in starts]
    longest = max((float(part.max()) for part in squares), default=0.0)

    def longer(start: int, stop: int) -> NDArray[np.float32]:
        plain = rows(start, stop)
        rest = np.sqrt(np.maximum(longest - np.square(plain).sum(1), 0.0))
        return np.concatenate([plain, rest[:, None].astype(np.float32)], 1)

    return longer


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    """Let the library work on one thread, so that equal seeds give equal graphs."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _empty_lists(faiss: Any, number: int, width: int, seed: int) -> Any:
    """An untrained index of lists."""
    lists = max(1, min(number // 40, round(LISTS * math.sqrt(number))))
    centres = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFPQ(
        centres, width, lists, width // NUMBERS_A_BYTE, 8, faiss.METRIC_INNER_PRODUCT
    )
    # The library keeps no reference to it.
    index.own_fields = True
    centres.this.disown()
    index.nprobe = max(LEAST_PROBES, round(PROBES * lists))
    for clustering in (index.cp, index.pq.cp):
        clustering.seed, clustering.niter = seed % 2**31, ROUNDS
        # Fewer are all right where there are fewer items.
        clustering.min_points_per_centroid = 1
    return index


def _some(rows: Rows, drawn: NDArray[np.int64], number: int) -> NDArray[np.float32]:
    """Vectors of some items, in rising order."""
    parts = []
    for start in range(0, number, BLOCK):
        stop = min(start + BLOCK, number)
        inside = drawn[np.searchsorted(drawn, start) : np.searchsorted(drawn, stop)]
        if len(inside):
            parts.append(rows(start, stop)[inside - start])
    return np.concatenate(parts)


def search(index: Any, queries: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """The items of the largest inner products, int64 ``[B, number]``; -1 where fewer are found."""
    if hasattr(index, "hnsw"):
        # No list is longer than what is looked at.
        index.hnsw.efSearch = max(SEARCHING, number)
        queries = np.pad(queries, ((0, 0), (0, 1)))
    found: NDArray[np.int64] = index.search(np.ascontiguousarray(queries), number)[1]
    return found


def width_of(index: Any) -> int:
    """Numbers of the vectors that an index was built of."""
    return int(index.d) - hasattr(index, "hnsw")


def write(index: Any, path: Path) -> None:
    """Write an index, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    faiss = load_library("")
    with atomic(path) as tmp:
        np.asarray(faiss.serialize_index(index)).tofile(tmp)


def read(path: Path) -> Any:
    """Read an index.

    Raises:
        LkgragError: the file is missing or broken.
    """
    faiss = load_library("")
    try:
        return faiss.deserialize_index(np.fromfile(path, np.uint8))
    # faiss raises RuntimeError for whatever it cannot read.
    except (OSError, RuntimeError, ValueError) as error:
        raise LkgragError(f"{path}: no index ({short(str(error))})") from error
