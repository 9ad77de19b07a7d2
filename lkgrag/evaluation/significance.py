"""How sure a difference is: paired bootstrap over users, standard errors, what could be seen at all.

Users are the units: all events of a user are drawn together, since they are not independent.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Draws held at once; bounds the memory whatever the number of users.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Difference:
    """A mean difference with its uncertainty.

    Attributes:
        mean: over events.
        low: lower end of the interval.
        high: upper end.
        p: two-sided, of the hypothesis that the difference is 0.
        se: standard error of the mean, over users.
        users: number of users.
        events: number of events.
    """

    mean: float
    low: float
    high: float
    p: float
    se: float
    users: int
    events: int

    def __str__(self) -> str:
        """For example ``+.0123 [+.0010, +.0236] p=.032``."""
        return f"{_signed(self.mean)} [{_signed(self.low)}, {_signed(self.high)}] {_p(self.p)}"

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def paired_bootstrap(
    difference: NDArray[np.float64],
    user: NDArray[np.int64],
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Percentile interval and p of the mean difference of two systems on the same events.

    Each resample draws as many users as there are, with replacement, with all their events. ``p`` is
    twice the smaller share of resampled means on either side of 0, counted with one extra resample,
    so that it is never 0.

    Args:
        difference: float ``[E]``, metric of one system minus that of the other, per event.
        user: int64 ``[E]``.
        resamples: number of resamples.
        seed: of the draws; the same for every pair of systems, so that tables agree.
        level: of the interval.

    Raises:
        ValueError: shapes differ, a difference is not finite, or there is no resample.
    """
    total, count = _by_user(difference, user)
    if resamples < 1:
        raise ValueError("resamples must be at least 1")
    num = len(total)
    if num == 0:
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan, 0, 0)
    rng = np.random.default_rng([seed, 0xB007])
    means = np.empty(resamples)
    step = max(1, CHUNK // num)
    equal = bool((count == count[0]).all())
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        draw = rng.integers(0, num, (stop - start, num))
        size = count[0] * num if equal else count[draw].sum(1)
        means[start:stop] = total[draw].sum(1) / size
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    # Sums of the same numbers in another order differ in their last digits: 0 must stay 0.
    zero = 1e-12 * max(1.0, float(np.abs(difference).max()))
    beyond = min((means <= zero).sum(), (means >= -zero).sum())
    return Difference(
        mean=float(total.sum() / count.sum()),
        low=float(low),
        high=float(high),
        p=float(min(1.0, 2.0 * (1 + beyond) / (1 + resamples))),
        se=standard_error(difference, user),
        users=num,
        events=len(difference),
    )


def standard_error(values: NDArray[np.float64], user: NDArray[np.int64]) -> float:
    """Standard error of the mean over events, with users as the units (linearised ratio).

    NaN with fewer than two users.
    """
    total, count = _by_user(values, user)
    num = len(total)
    if num < 2:
        return math.nan
    residual = total - count * (total.sum() / count.sum())
    return float(math.sqrt(num / (num - 1) * (residual**2).sum()) / count.sum())


def smallest_detectable(
    difference: NDArray[np.float64],
    user: NDArray[np.int64],
    users: int | None = None,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest true difference that a test with so many users finds with probability ``power``.

    Args:
        difference: float ``[E]``, of a comparison at hand, for its spread.
        user: int64 ``[E]``.
        users: number of users of the test; those at hand by default.
        power: wanted.
        level: ``1 - level`` is the two-sided error of the first kind.
    """
    num = len(np.unique(user))
    spread = standard_error(difference, user) * math.sqrt(num)
    normal = NormalDist()
    z = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)
    return z * spread / math.sqrt(users or num) if num else math.nan


def _by_user(
    values: NDArray[np.float64], user: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the values of each user."""
    values, user = np.asarray(values, np.float64), np.asarray(user)
    if values.shape != user.shape or values.ndim != 1:
        raise ValueError(f"one value an event: got {values.shape} values and {user.shape} users")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite")
    _, place = np.unique(user, return_inverse=True)
    total = np.bincount(place, values).astype(np.float64)
    return total, np.bincount(place).astype(np.float64)


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _p(p: float) -> str:
    return "p<.001" if p < 0.001 else f"p={p:.3f}"
