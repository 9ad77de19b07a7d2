"""``co_rated``: what the same users choose, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import sparse

from lkgrag.kg.base import Edges, Relation, RelationSource, Training
from lkgrag.kg.sources.counting import item_degree, normalised
from lkgrag.utils.arrays import distinct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from lkgrag.config import KGConfig
    from lkgrag.kg.audience import Audience

#: Chosen as the shrinkage of ``followed_by`` was, among the same values.
SHRINKAGE = 0.25
#: Items whose partners are counted at a time; at most 256, which the sort key has room for.
BLOCK = 256


class CoRated(RelationSource):
    """Joins items of the same history; each item keeps its ``kg.co_rated_top`` strongest partners."""

    relation = Relation(
        "co_rated",
        "item",
        "chosen by the same users as",
        "chosen by the same users as",
        short="fans",
    )
    symmetric: ClassVar = True

    def edges(self, training: Training, config: KGConfig) -> Edges:
        """Count the users of each pair; keep what either end keeps."""
        num_items, need = training.num_items, config.behaviour_min
        pairs = distinct(training.user * num_items + training.item)
        user, item = pairs // num_items, pairs % num_items
        shape = (int(user.max(initial=-1)) + 1, num_items)
        matrix = sparse.csr_matrix((np.ones(len(pairs), np.float32), (user, item)), shape=shape)
        degree = item_degree(training)
        by_item = matrix.T.tocsr()
        kept = [
            _strongest(by_item[rows] @ matrix, rows, degree, need, config.co_rated_top)
            for rows in np.array_split(np.arange(num_items), -(-num_items // BLOCK))
        ]
        low, high, count = np.concatenate(kept, 1)
        key, first = np.unique(low * num_items + high, return_index=True)
        low, high, count = key // num_items, key % num_items, count[first]
        weight = normalised(count, degree, np.stack([low, high]), SHRINKAGE)
        time = _pair_times(training, low, high, need) if config.temporal else None
        return Edges.both_ways(low, high, weight, count, time)

    def sentence(
        self, audience: Audience, count: int | None, other: str, *, backward: bool
    ) -> str | None:
        """Who chose both."""
        if count is None:
            return None
        return f"also {audience.did} by {audience.count(count)} of {other}"

    def recount(
        self, sequences: Sequence[Sequence[int]], pairs: Iterable[tuple[int, int]], config: KGConfig
    ) -> Mapping[tuple[int, int], int]:
        """Users that two items have in common, from the set of users of each."""
        users: dict[int, set[int]] = {}
        for user, items in enumerate(sequences):
            for item in items:
                users.setdefault(item, set()).add(user)
        nobody: set[int] = set()
        return {(a, b): len(users.get(a, nobody) & users.get(b, nobody)) for a, b in pairs}


def _strongest(
    product: sparse.csr_matrix,
    rows: NDArray[np.int64],
    degree: NDArray[np.int64],
    need: int,
    top: int,
) -> NDArray[np.int64]:
    """The ``top`` strongest partners of some items (ties: the smaller partner).

    Args:
        product: float ``[R, num_items]``, users that each of them and any item have in common.
        rows: int64 ``[R]``, the items.
        degree: int64 ``[num_items]``.
        need: least number of common users.
        top: most partners an item.

    Returns:
        int64 ``[3, K]``: smaller item, larger item, common users.
    """
    product = product.tocoo()
    keep = (product.data >= need) & (rows[product.row] != product.col)
    row, partner = product.row[keep].astype(np.int64), product.col[keep].astype(np.int64)
    item, count = rows[row], product.data[keep].astype(np.int64)
    weight = normalised(count, degree, np.stack([item, partner]), SHRINKAGE)
    # One key to sort by: row, falling weight (the bits of a positive float rise with it), partner.
    key = (row << 55) | ((0x3FFFFFFF - weight.view(np.int32).astype(np.int64)) << 25) | partner
    order = np.argsort(key)
    size = np.bincount(row, minlength=len(rows))
    rank = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    chosen = order[rank < top]
    item, partner, count = item[chosen], partner[chosen], count[chosen]
    return np.stack([np.minimum(item, partner), np.maximum(item, partner), count])


def _pair_times(
    training: Training, low: NDArray[np.int64], high: NDArray[np.int64], need: int
) -> NDArray[np.float64]:
    """When the ``need``-th user had interacted with both items, float64 ``[len(low)]``."""
    num_items = training.num_items
    out = np.full(len(low), np.nan)
    if np.isnan(training.time).all() or not len(low):
        return out
    wanted = low * num_items + high
    order = np.argsort(wanted)
    wanted = wanted[order]
    places, times = [], []
    bounds = np.flatnonzero(np.diff(training.user, prepend=-1))
    for start, end in zip(bounds, [*bounds[1:], len(training.user)], strict=True):
        items, first = np.unique(training.item[start:end], return_index=True)
        time = training.time[start:end][first]
        a, b = np.triu_indices(len(items), 1)
        key = items[a] * num_items + items[b]
        place = np.minimum(np.searchsorted(wanted, key), len(wanted) - 1)
        hit = wanted[place] == key
        places.append(place[hit])
        # An unknown time makes the pair's unknown too; NaN sorts last.
        times.append(np.maximum(time[a], time[b])[hit])
    place, time = np.concatenate(places), np.concatenate(times)
    rank = np.lexsort((time, place))
    place, time = place[rank], time[rank]
    out[order] = time[np.searchsorted(place, np.arange(len(wanted))) + need - 1]
    return out
