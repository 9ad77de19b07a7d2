"""Counts of users, and the weights that follow from them, for relations made of interactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.kg.base import Edges, Training
from lkgrag.utils.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import KGConfig


@dataclass(frozen=True)
class Pairs:
    """Pairs of items that a user's interactions join, one row for each time.

    Attributes:
        source: int64 ``[K]``, item that the edge leaves.
        target: int64 ``[K]``, item that it leads to.
        user: int64 ``[K]``.
        time: float64 ``[K]``, of the later one of the two interactions; NaN where unknown.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    user: NDArray[np.int64]
    time: NDArray[np.float64]


def count_users(pairs: Pairs, training: Training, config: KGConfig, shrinkage: float) -> Edges:
    """Join the items of each pair that at least ``kg.behaviour_min`` users have.

    Args:
        pairs: in any order; pairs of an item with itself are left out.
        training: the training interactions.
        config: ``behaviour_min``, and whether edges have times (``temporal``).
        shrinkage: of the weights, as of :func:`normalised`.

    Returns:
        Edges sorted by source, then target, with weight and count; with ``kg.temporal`` an edge's
        time is when the last user that it needs had the pair for the first time.
    """
    num_items, need = training.num_items, config.behaviour_min
    key, count, time = count_pairs(pairs, num_items, need)
    index = np.stack([key // num_items, key % num_items])
    weight = normalised(count, item_degree(training), index, shrinkage)
    return Edges(index, weight, count, time=time if config.temporal else None)


def count_pairs(
    pairs: Pairs, num_items: int, need: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count the users of each pair that at least ``need`` users have.

    Args:
        pairs: in any order; pairs of an item with itself are left out.
        num_items: ``I``.
        need: least number of users.

    Returns:
        ``source * I + target`` of each pair, rising; its number of users; and when the ``need``-th user had it
        for the first time.
    """
    other = pairs.source != pairs.target
    key = pairs.source[other] * num_items + pairs.target[other]
    user, time = pairs.user[other], pairs.time[other]
    # One row for each pair and user, the earliest.
    order = np.lexsort((time, user, key))
    key, user, time = key[order], user[order], time[order]
    first = np.ones(len(key), bool)
    first[1:] = (key[1:] != key[:-1]) | (user[1:] != user[:-1])
    return count_times(key[first], time[first], need)


def count_times(
    key: NDArray[np.int64], time: NDArray[np.float64], need: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Count equal keys; arguments, one for each user, and results as of :func:`count_pairs`."""
    order = np.lexsort((time, key))
    key, time = key[order], time[order]
    joined, start, count = np.unique(key, return_index=True, return_counts=True)
    enough = count >= need
    joined, start, count = joined[enough], start[enough], count[enough].astype(np.int64)
    return joined, count, time[start + need - 1]


def item_degree(training: Training) -> NDArray[np.int64]:
    """Number of training users of each item, int64 ``[num_items]``."""
    pairs = distinct(training.user * training.num_items + training.item)
    return np.bincount(pairs % training.num_items, minlength=training.num_items)


def normalised(
    count: NDArray[np.int64],
    degree: NDArray[np.int64],
    index: NDArray[np.int64],
    shrinkage: float,
) -> NDArray[np.float32]:
    r"""Shrunken cosine :math:`n_{ij} / \sqrt{(n_i + \lambda)(n_j + \lambda)}`, in (0, 1].

    Weights are shrunken as if :math:`\lambda` more users had met each item. So two users who agree by
    chance do not outweigh two hundred who do.

    Args:
        count: int64 ``[E]``, users behind each pair.
        degree: int64 ``[num_items]``, users of each item.
        index: int64 ``[2, E]``, the pairs.
        shrinkage: :math:`\lambda` as a multiple of the mean degree of the items that have users.
    """
    met = degree[degree > 0]
    root = np.sqrt(degree + shrinkage * (met.mean() if len(met) else 0.0))
    return (count / (root[index[0]] * root[index[1]])).astype(np.float32)
