"""Operations on large integer arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each value once, in rising order.

    :func:`numpy.unique` hashes the values. From some millions on, hashing is slower than sorting.

    Args:
        values: int64 ``[N]``.

    Returns:
        int64, at most ``[N]``.
    """
    ordered = np.sort(values)
    keep = np.ones(len(ordered), bool)
    keep[1:] = ordered[1:] != ordered[:-1]
    return ordered[keep]
