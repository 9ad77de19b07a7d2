"""Behaviour relations between items, counted on training interactions only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.utils.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions

#: Weights are shrunken as if so many more users, in multiples of the mean item's, had met each item,
#: so that two who agree by chance do not outweigh two hundred who do. Of 0, 1/4, 1/2, 1, 2 and 4 the
#: best or near it for ranking all items on the validation parts of ml-100k, ml-latest-small and
#: Amazon Beauty: order is sparse and needs more of it than company.
FOLLOW_SHRINKAGE, CO_RATED_SHRINKAGE = 1.0, 0.25
#: Items whose partners are counted at a time; at most 256, which the sort key has room for.
BLOCK = 256


@dataclass(frozen=True)
class Training:
    """The training interactions as flat arrays, sorted by user, then position.

    Attributes:
        user: int64 ``[N]``.
        item: int64 ``[N]``.
        position: int64 ``[N]``, within the user's sequence.
        time: float64 ``[N]``, NaN where unknown.
        rating: float32 ``[N]``, NaN where unknown.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    position: NDArray[np.int64]
    time: NDArray[np.float64]
    rating: NDArray[np.float32]

    @classmethod
    def of(cls, interactions: Interactions, train_end: NDArray[np.int64]) -> Training:
        """Keep the first ``train_end[user]`` interactions of each user.

        Raises:
            ValueError: ``train_end`` has another shape or exceeds a sequence.
        """
        train_end = np.asarray(train_end, np.int64)
        count = np.diff(interactions.indptr)
        if train_end.shape != (interactions.num_users,):
            raise ValueError(
                f"train_end must have shape [{interactions.num_users}], one value a user, "
                f"got {list(train_end.shape)}"
            )
        if (train_end < 0).any() or (train_end > count).any():
            raise ValueError("train_end must lie between 0 and the length of the user's sequence")
        user, position = interactions.user, interactions.position
        keep = position < train_end[user]
        return cls(
            user[keep],
            interactions.item[keep],
            position[keep],
            interactions.time[keep],
            interactions.rating[keep],
        )


@dataclass(frozen=True)
class Edges:
    """Edges between items with what is known of them.

    Attributes:
        index: int64 ``[2, E]``, sorted by source, then target.
        count: int64 ``[E]``, users behind the edge.
        weight: float32 ``[E]`` in (0, 1].
        time: float64 ``[E]``, when enough users had made the edge; NaN where unknown.
    """

    index: NDArray[np.int64]
    count: NDArray[np.int64]
    weight: NDArray[np.float32]
    time: NDArray[np.float64]


def followed_by(training: Training, num_items: int, config: KGConfig) -> Edges:
    """Join each item with the next ``kg.follow_window`` items of the same user."""
    source, target, user, time = [], [], [], []
    for gap in range(1, config.follow_window + 1):
        same = training.user[gap:] == training.user[:-gap]
        source.append(training.item[:-gap][same])
        target.append(training.item[gap:][same])
        user.append(training.user[gap:][same])
        time.append(training.time[gap:][same])
    columns = [np.concatenate(c) if c else np.zeros(0) for c in (source, target, user, time)]
    return _edges(columns, training, num_items, config)


def _edges(columns: list[NDArray], training: Training, num_items: int, config: KGConfig) -> Edges:
    """Count distinct users a pair; keep pairs with enough."""
    source, target, user, time = columns
    other = source != target
    key = source[other].astype(np.int64) * num_items + target[other].astype(np.int64)
    user, time = user[other], time[other]
    # One row a (pair, user), the earliest.
    order = np.lexsort((time, user, key))
    key, user, time = key[order], user[order], time[order]
    first = np.ones(len(key), bool)
    first[1:] = (key[1:] != key[:-1]) | (user[1:] != user[:-1])
    key, time = key[first], time[first]
    order = np.lexsort((time, key))
    key, time = key[order], time[order]
    pairs, start, count = np.unique(key, return_index=True, return_counts=True)
    need = config.behaviour_min
    enough = count >= need
    pairs, start, count = pairs[enough], start[enough], count[enough]
    index = np.stack([pairs // num_items, pairs % num_items])
    weight = normalised(count, item_degree(training, num_items), index, FOLLOW_SHRINKAGE)
    return Edges(index, count.astype(np.int64), weight, time[start + need - 1])


def item_degree(training: Training, num_items: int) -> NDArray[np.int64]:
    """Number of training users of each item, int64 ``[num_items]``."""
    pairs = distinct(training.user * num_items + training.item)
    return np.bincount(pairs % num_items, minlength=num_items)


def normalised(
    count: NDArray[np.int64],
    degree: NDArray[np.int64],
    index: NDArray[np.int64],
    shrinkage: float,
) -> NDArray[np.float32]:
    r"""Shrunken cosine :math:`n_{ij} / \sqrt{(n_i + \lambda)(n_j + \lambda)}`, in (0, 1].

    Args:
        count: int64 ``[E]``, users behind each pair.
        degree: int64 ``[num_items]``, users of each item.
        index: int64 ``[2, E]``, the pairs.
        shrinkage: :math:`\lambda` as a multiple of the mean degree of the items that have users.
    """
    met = degree[degree > 0]
    root = np.sqrt(degree + shrinkage * (met.mean() if len(met) else 0.0))
    return (count / (root[index[0]] * root[index[1]])).astype(np.float32)


def co_rated(training: Training, num_items: int, config: KGConfig) -> Edges:
    """Join items of the same history; keep each item's strongest partners, symmetrised."""
    pairs = distinct(training.user * num_items + training.item)
    user, item = pairs // num_items, pairs % num_items
    shape = (int(user.max(initial=-1)) + 1, num_items)
    matrix = sparse.csr_matrix((np.ones(len(pairs), np.float32), (user, item)), shape=shape)
    need = config.behaviour_min
    degree = item_degree(training, num_items)
    by_item = matrix.T.tocsr()
    kept = [
        _strongest(by_item[rows] @ matrix, rows, degree, need, config.co_rated_top)
        for rows in np.array_split(np.arange(num_items), -(-num_items // BLOCK))
    ]
    low, high, count = np.concatenate(kept, 1)
    key, first = np.unique(low * num_items + high, return_index=True)
    low, high, count = key // num_items, key % num_items, count[first]
    weight = normalised(count, degree, np.stack([low, high]), CO_RATED_SHRINKAGE)
    time = np.full(len(low), np.nan)
    if config.temporal:
        time = _pair_times(training, low, high, num_items, need)
    index = np.stack([np.concatenate([low, high]), np.concatenate([high, low])])
    order = np.lexsort((index[1], index[0]))
    count, weight, time = (np.concatenate([x, x])[order] for x in (count, weight, time))
    return Edges(index[:, order], count, weight, time)


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
    weight = normalised(count, degree, np.stack([item, partner]), CO_RATED_SHRINKAGE)
    # One key to sort by: row, falling weight (the bits of a positive float rise with it), partner.
    key = (row << 55) | ((0x3FFFFFFF - weight.view(np.int32).astype(np.int64)) << 25) | partner
    order = np.argsort(key)
    size = np.bincount(row, minlength=len(rows))
    rank = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)
    chosen = order[rank < top]
    item, partner, count = item[chosen], partner[chosen], count[chosen]
    return np.stack([np.minimum(item, partner), np.maximum(item, partner), count])


def _pair_times(
    training: Training,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    num_items: int,
    need: int,
) -> NDArray[np.float64]:
    """When the ``need``-th user had interacted with both items, float64 ``[len(low)]``."""
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
