"""The gain of a rank: the arithmetic of the metrics.

The best item has rank 1. Rank 0 means that the target was missed; its gain is 0. A metric is the mean of
the gains over the events. Each event has one target, so a hit is the recall, and the ideal DCG is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def not_behind(scores: NDArray[np.floating], mine: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which scores are at least the target's: their number is its rank, since equals count against it.

    NaN is the worst score there is, as low as minus infinity.

    Args:
        scores: float ``[B, C]``.
        mine: float ``[B]``, the target's.

    Returns:
        bool ``[B, C]``.
    """
    out: NDArray[np.bool_] = scores >= mine[:, None]
    out[np.isnan(mine) | np.isneginf(mine)] = True
    return out


def reciprocal_gain(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""Return the gain :math:`1/r` of MRR.

    Args:
        rank: int64, any shape.

    Returns:
        float64 of the same shape.
    """
    return np.where(rank > 0, 1.0 / np.maximum(rank, 1), 0.0)


def discounted_gain(rank: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    r"""Return the gain of NDCG@k: :math:`1/\log_2(1+r)` where :math:`r \le k`, else 0.

    Args:
        rank: int64, any shape.
        k: the cut-off.

    Returns:
        float64 of the same shape.
    """
    return np.where(_is_hit(rank, k), 1.0 / np.log2(1.0 + np.maximum(rank, 1)), 0.0)


def hit_gain(rank: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    r"""Return the gain of Recall@k: 1 where :math:`r \le k`, else 0.

    Args:
        rank: int64, any shape.
        k: the cut-off.

    Returns:
        float64 of the same shape.
    """
    return np.where(_is_hit(rank, k), 1.0, 0.0)


def _is_hit(rank: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
    return (rank > 0) & (rank <= k)
