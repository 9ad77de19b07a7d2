"""How sure a difference is: paired bootstrap over users, standard errors, the smallest difference that shows.

Users are the units. The events of a user are not independent, so they are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.utils.standard_errors import (
    linearised_error,
    residuals,
    standard_error,
    sum_by_user,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Draws that are held at once: they bound the memory for any number of users, and fit the processor's cache.
CHUNK = 250_000
#: Draws that are kept for the next comparison of as many users, a byte each; two sets of them are kept.
KEPT = 250_000_000


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

    Each resample draws as many users as there are, with replacement and with all their events. ``p`` is
    twice the smaller share of resampled means on either side of 0. It is counted with an extra resample,
    and is therefore never 0.

    Args:
        difference: float ``[E]``, metric of one system minus that of the other, per event.
        user: int64 ``[E]``.
        resamples: number of resamples.
        seed: of the draws; tables agree if it is the same for every pair of systems.
        level: of the interval.

    Raises:
        ValueError: shapes differ, a difference is not finite, or there is no resample.
    """
    return bootstrap_sum([(difference, user)], resamples, seed, level)


def bootstrap_sum(
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]],
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Interval and p of a sum of means over different events, of users that are drawn together.

    It compares a system that ran on a sample of the users with a system that ran on all of them, by way of a
    third that ran on all as well. The first part is a share of the mean of *all* minus *third* over all
    events. The second part is the mean over the sample of *all* minus *sample*, less that share of *all*
    minus *third*. This is the difference estimator of survey sampling, or with the share of
    :func:`control_share` the regression estimator (Särndal, Swensson and Wretman 1992, chapter 6). Its bias
    is negligible if the sample is random. If *third* errs much like *sample*, its error is nearly that of the
    first mean.

    Args:
        parts: ``(values [E], user [E])``, one or more; a resample without a user of a part takes the mean
            of that part.
        resamples: number of resamples.
        seed: of the draws.
        level: of the interval.

    Returns:
        The sum; ``users`` and ``events`` are those of the first part.

    Raises:
        ValueError: shapes differ, a value is not finite, or there is no resample.
    """
    if resamples < 1:
        raise ValueError("resamples must be at least 1")
    people = np.unique(np.concatenate([np.asarray(user) for _, user in parts]))
    sums = [sum_by_user(values, user, people) for values, user in parts]
    num = len(people)
    if not all(count.sum() for _, count in sums):
        return Difference(math.nan, math.nan, math.nan, math.nan, math.nan, 0, 0)
    means, start = np.zeros(resamples), 0
    for drawn in draw_users(num, resamples, seed):
        part = slice(start, start + len(drawn))
        times = drawn.astype(np.float64)
        for total, count in sums:
            means[part] += _mean_of(total, count, times)
        start = part.stop
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    # Sums of the same numbers in another order differ in their last digits; 0 must stay 0.
    largest = max(float(np.abs(np.asarray(values)).max()) for values, _ in parts)
    zero = 1e-12 * max(1.0, largest)
    beyond = min((means <= zero).sum(), (means >= -zero).sum())
    first = sums[0][1]
    return Difference(
        mean=float(sum(total.sum() / count.sum() for total, count in sums)),
        low=float(low),
        high=float(high),
        p=float(min(1.0, 2.0 * (1 + beyond) / (1 + resamples))),
        se=linearised_error(sums),
        users=int((first > 0).sum()),
        events=int(first.sum()),
    )


def control_share(
    values: NDArray[np.float64], control: NDArray[np.float64], user: NDArray[np.int64]
) -> float:
    """The share of a control's mean whose subtraction leaves the least error of the mean of the values.

    The slope of the regression of users' sums of values on those of the control, within 0 and 1; 0 where
    the control does not vary.

    Args:
        values: float ``[E]``.
        control: float ``[E]``, of the same events.
        user: int64 ``[E]``.
    """
    people = np.unique(user)
    of_values, of_control = (residuals(*sum_by_user(x, user, people)) for x in (values, control))
    spread = float((of_control**2).sum())
    return min(1.0, max(0.0, float((of_values * of_control).sum()) / spread)) if spread else 0.0


def draw_users(num: int, resamples: int, seed: int) -> Iterable[NDArray[np.integer]]:
    """How often each resample holds each user, blocks ``[rows, num]``."""
    if num * resamples <= KEPT:
        return _stored_draws(num, resamples, seed)
    return _drawn(num, resamples, seed)


@lru_cache(maxsize=2)  # all users, and those of a sample or whose target was retrieved
def _stored_draws(num: int, resamples: int, seed: int) -> list[NDArray[np.integer]]:
    return list(_drawn(num, resamples, seed))


def _drawn(num: int, resamples: int, seed: int) -> Iterator[NDArray[np.integer]]:
    rng = np.random.default_rng([seed, 0xB007])
    step = max(1, CHUNK // num)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        place = rng.integers(0, num, (rows, num)) + np.arange(rows)[:, None] * num
        times = np.bincount(place.ravel(), minlength=rows * num).reshape(rows, num)
        yield times.astype(np.min_scalar_type(times.max()))


def _mean_of(
    total: NDArray[np.float64], count: NDArray[np.float64], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean over the events of each resample of users."""
    if bool((count == count[0]).all()):
        return _weighted(times, total) / (count[0] * len(count))
    size = _weighted(times, count)
    mean = total.sum() / count.sum()
    return np.where(size > 0, _weighted(times, total) / np.maximum(size, 1), mean)


def _weighted(times: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over users of each resample, float ``[rows]``.

    A product of matrices would round by the number of rows and threads.
    """
    return np.asarray(np.einsum("rn,n->r", times, values))


def smallest_detectable(
    difference: NDArray[np.float64],
    user: NDArray[np.int64],
    users: int | None = None,
    power: float = 0.8,
    level: float = 0.95,
) -> float:
    """The smallest true difference that a test with ``users`` users shows with probability ``power``.

    Args:
        difference: float ``[E]``, of a comparison, which gives the spread.
        user: int64 ``[E]``.
        users: number of users of the test; by default those of the comparison.
        power: wanted.
        level: ``1 - level`` is the two-sided error of the first kind.
    """
    num = len(np.unique(user))
    share = math.sqrt(num / (users or num)) if num else math.nan
    return detectable(standard_error(difference, user), power, level) * share


def detectable(se: float, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true difference that shows with probability ``power``, given a standard error."""
    normal = NormalDist()
    return se * (normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power))


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _p(p: float) -> str:
    return "p<.001" if p < 0.001 else f"p={p:.3f}"
