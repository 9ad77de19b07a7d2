"""Standard errors of means over events whose users are the units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def standard_error(values: NDArray[np.float64], user: NDArray[np.int64]) -> float:
    """Standard error of the mean over events, with users as the units (linearised ratio).

    NaN with fewer than two users.
    """
    return linearised_error([sum_by_user(values, user, np.unique(user))])


def linearised_error(sums: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Standard error of a sum of means over events, users as units; NaN with fewer than two users."""
    num = len(sums[0][0])
    if num < 2:
        return math.nan
    parts = [residuals(total, count) / count.sum() for total, count in sums]
    residual = np.sum(parts, axis=0)
    return float(math.sqrt(num / (num - 1) * (residual**2).sum()))


def residuals(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each user's sum, less the mean over all events of as many events."""
    return total - count * (total.sum() / count.sum())


def sum_by_user(
    values: NDArray[np.float64], user: NDArray[np.int64], people: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the values of each user; ``people`` are sorted.

    Raises:
        ValueError: shapes differ, or a value is not finite.
    """
    values, user = np.asarray(values, np.float64), np.asarray(user)
    if values.shape != user.shape or values.ndim != 1:
        raise ValueError(f"one value an event: got {values.shape} values and {user.shape} users")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    place = np.searchsorted(people, user)
    total = np.bincount(place, values, len(people)).astype(np.float64)
    return total, np.bincount(place, minlength=len(people)).astype(np.float64)
