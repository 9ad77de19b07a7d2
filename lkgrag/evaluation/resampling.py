"""Intervals of figures that are no plain means: all of them from the same resamples of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.evaluation.significance import draw_users

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: From the sums of columns, ``[R]`` each, to a figure, ``[R]``.
Formula = Callable[[Mapping[str, "NDArray[np.float64]"]], "NDArray[np.float64]"]
#: Resamples are fewer than those of differences: ends of intervals need fewer than small p do.
MOST = 1000
#: Draws that are held at once: they bound the memory, and beyond 20,000 users the resamples; which are never fewer
#: than :data:`FEWEST` for that.
CELLS, FEWEST = 20_000_000, 100
#: Level of the intervals.
LEVEL = 0.95


@dataclass(frozen=True)
class Users:
    """The users of some rows, and resamples of them.

    Attributes:
        place: int64 ``[N]``, for each row the place of its user among the ``U`` different ones.
        resamples: how often users are drawn.
        seed: of the draws.
    """

    place: NDArray[np.int64]
    resamples: int
    seed: int

    @classmethod
    def of(cls, user: NDArray[np.int64], resamples: int, seed: int) -> Users:
        """Number the users of rows; at most :data:`MOST` resamples are drawn, and fewer of very many users."""
        people, place = np.unique(user, return_inverse=True)
        limit = max(FEWEST, CELLS // max(1, len(people)))
        return cls(place.astype(np.int64), min(resamples, MOST, limit), seed)

    @property
    def number(self) -> int:
        """Number of different users ``U``."""
        return int(self.place.max(initial=-1)) + 1

    def draw(self) -> NDArray[np.float64]:
        """How often each resample holds each user, float64 ``[R, U]``."""
        blocks = list(draw_users(self.number, self.resamples, self.seed))
        return np.concatenate(blocks).astype(np.float64)

    def sums(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of each user's rows, float64 ``[U, M]``.

        Args:
            columns: float64 ``[N, M]``.
        """
        out = np.zeros((self.number, columns.shape[1]))
        np.add.at(out, self.place, columns)
        return out


def weighted_sums(times: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of each resample, float64 ``[R, M]``, the same on every machine.

    A product of matrices would round by the number of rows and threads.

    Args:
        times: float64 ``[R, U]``.
        sums: float64 ``[U, M]``.
    """
    return np.stack([np.einsum("rn,n->r", times, column) for column in sums.T.copy()], 1)


def interval(values: NDArray[np.float64]) -> list[float]:
    """The ends of the percentile interval of a figure's resamples; NaN where none is a number."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [float("nan"), float("nan")]
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def ratio_intervals(
    users: Users,
    columns: Mapping[str, NDArray[np.float64]],
    figures: Mapping[str, Formula],
    times: NDArray[np.float64] | None = None,
) -> dict[str, list[float]]:
    """Intervals of figures that follow from sums over rows.

    Args:
        users: of ``N`` rows.
        columns: by name float64 ``[N]``.
        figures: by name a function of the columns' sums, each ``[R]``, to the figure ``[R]``.
        times: of :meth:`Users.draw`, if it was called already.

    Returns:
        By figure ``[low, high]``.
    """
    if not users.number:
        return {name: [float("nan"), float("nan")] for name in figures}
    drawn = users.draw() if times is None else times
    found = weighted_sums(drawn, users.sums(np.stack([*columns.values()], 1)))
    sums = dict(zip(columns, found.T, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: interval(np.asarray(figure(sums))) for name, figure in figures.items()}


def mean_of(column: str, number: str) -> Formula:
    """The figure that is the sum of one column over that of another."""
    return lambda sums: sums[column] / sums[number]
