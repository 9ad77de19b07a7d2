"""What a rank is worth: the gains that metrics are means of, and that training stops by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def reciprocal_gain(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """``1 / rank``, the gain of MRR.

    Args:
        rank: int64, any shape; 1 for the best, 0 for missed.

    Returns:
        float64 of the same shape; 0 for missed.
    """
    return np.where(rank > 0, 1.0 / np.maximum(rank, 1), 0.0)


def discounted_gain(rank: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """``1 / log2(1 + rank)`` within the first ``k`` places, the gain of NDCG@k.

    Args:
        rank: int64, any shape; 1 for the best, 0 for missed.
        k: the cut-off; a deeper rank is a miss.

    Returns:
        float64 of the same shape; 0 for missed.
    """
    return hit_gain(rank, k) / np.log2(1.0 + np.maximum(rank, 1))


def hit_gain(rank: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """1 within the first ``k`` places, the gain of Recall@k.

    Args:
        rank: int64, any shape; 1 for the best, 0 for missed.
        k: the cut-off; a deeper rank is a miss.

    Returns:
        float64 of the same shape; 0 for missed.
    """
    return ((rank > 0) & (rank <= k)).astype(np.float64)
