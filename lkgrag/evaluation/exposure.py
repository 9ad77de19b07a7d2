"""How evenly systems show the catalogue: coverage, Gini index, entropy and personalization, with intervals.

All follow from how many lists show each item. So each resample of users needs only a histogram of these numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.evaluation.resampling import interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lkgrag.evaluation.resampling import Users

#: Cells of a block of resamples; bounds the memory.
CELLS = 4_000_000
#: The figures, in the order of tables.
NAMES = ("coverage", "gini", "entropy", "personalization")


def exposure(
    histogram: NDArray[np.int64], length: int, number: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Figures of how often items are shown.

    Args:
        histogram: int64 ``[R, T]``, of each of ``R`` sets of lists the number of items that ``t`` lists show.
        length: items of a list, ``k``.
        number: float64 ``[R]``, lists of each set.

    Returns:
        Each float64 ``[R]``: ``coverage``, the share of all items that some list shows; ``gini``, the Gini index of
        the items' shares, 0 where all items are shown alike and nearly 1 where few are (as RecBole's ``GiniIndex``);
        ``entropy``, the Shannon entropy of the shares, in bits; ``personalization``, the mean share of a list's
        items that another list does not have. NaN without a list.
    """
    times = np.arange(histogram.shape[1], dtype=np.float64)
    items = histogram.sum(1).astype(np.float64)
    shown = number * length
    before = histogram.cumsum(1) - histogram
    # The items of one number have neighbouring places i in rising order; here is their sum of 2 i - I - 1.
    places = histogram * (2 * before + histogram - items[:, None])
    logs = times * np.log2(np.maximum(times, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = length * number * (number - 1)
        shared = _along(histogram, times * (times - 1))
        return {
            "coverage": np.where(number > 0, 1 - histogram[:, 0] / items, 0.0),
            "gini": _along(places, times) / (items * shown),
            "entropy": np.log2(shown) - _along(histogram, logs) / shown,
            "personalization": np.where(pairs > 0, 1 - shared / pairs, np.nan),
        }


def measure_exposure(
    lists: NDArray[np.int64], items: int, users: Users, times: NDArray[np.float64]
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The figures of some lists, and their intervals.

    Resamples with replacement hold fewer different users, so they show fewer items: their figures are shifted. The
    interval is that of the resamples' deviations from their own mean, laid around the figure.

    Args:
        lists: int64 ``[B, k]``, no padding.
        items: in all, ``I``.
        users: of the lists.
        times: float64 ``[R, U]``, of :meth:`~lkgrag.evaluation.resampling.Users.draw`.

    Returns:
        Figures by name, and ``[low, high]`` by name.
    """
    number, length = lists.shape
    counts = np.bincount(lists.ravel(), minlength=items)
    whole = exposure(np.bincount(counts)[None], length, np.array([float(number)]))
    figures = {name: float(values[0]) for name, values in whole.items()}
    if not number:
        return figures, {name: [float("nan")] * 2 for name in NAMES}
    parts = [*_resampled(lists, items, users, times)]
    ends = {}
    for name in NAMES:
        values = np.concatenate([part[name] for part in parts])
        finite = values[np.isfinite(values)]
        middle = finite.mean() if len(finite) else 0.0
        ends[name] = interval(values - middle + figures[name])
    return figures, ends


def _resampled(
    lists: NDArray[np.int64], items: int, users: Users, times: NDArray[np.float64]
) -> Iterator[dict[str, NDArray[np.float64]]]:
    """The figures of each resample, a block of resamples at a time."""
    length = lists.shape[1]
    some, column = np.unique(lists.ravel(), return_inverse=True)
    row = np.repeat(users.place, length)
    # Sums of whole numbers are exact in any order.
    shows = sparse.csr_matrix((np.ones(lists.size), (row, column)), (users.number, len(some)))
    of_user = np.bincount(users.place, minlength=users.number).astype(np.float64)
    # Neither counts nor their histogram, which has a column for each number of lists, may grow large.
    step = max(1, CELLS // max(len(some), len(lists)))
    for start in range(0, len(times), step):
        drawn = times[start : start + step]
        counts = (shows.T @ drawn.T).T.astype(np.int64)
        width = int(counts.max()) + 1
        cell = counts + width * np.arange(len(drawn))[:, None]
        histogram = np.bincount(cell.ravel(), minlength=width * len(drawn)).reshape(-1, width)
        histogram[:, 0] += items - len(some)
        yield exposure(histogram, length, drawn @ of_user)


def _along(histogram: NDArray[np.integer], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of each row, weighted by column; the same however many rows there are."""
    return np.asarray(np.einsum("rt,t->r", histogram.astype(np.float64), values))
