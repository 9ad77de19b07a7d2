"""What a rank is worth: the arithmetic of the metrics.

A rank is 1 for the best item. Rank 0 means that the target was missed; its gain is 0. Each event has one
target, so that a hit is the recall and the ideal DCG is 1. The mean of the gains over the events is the metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reciprocal_gain(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""The gain :math:`1/r` of MRR.

    Args:
        rank: int64, any shape.

    Returns:
        float64 of the same shape.
    """
    return np.where(rank > 0, 1.0 / np.maximum(rank, 1), 0.0)


def discounted_gain(rank: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    r"""The gain :math:`1/\log_2(1+r)` of NDCG@k where :math:`r \le k`, else 0.

    Args:
        rank: int64, any shape.
        k: the cut-off.

    Returns:
        float64 of the same shape.
    """
    return np.where(_is_hit(rank, k), 1.0 / np.log2(1.0 + np.maximum(rank, 1)), 0.0)


def hit_gain(rank: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    r"""The gain of Recall@k: 1 where :math:`r \le k`, else 0.

    Args:
        rank: int64, any shape.
        k: the cut-off.

    Returns:
        float64 of the same shape.
    """
    return np.where(_is_hit(rank, k), 1.0, 0.0)


def _is_hit(rank: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    return (rank > 0) & (rank <= k)
