"""Popularity bias of lists: average popularity, its lift, calibration, the share of the tail, and novelty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from lkgrag.evaluation.protocol import RANDOM
from lkgrag.evaluation.resampling import Users, ratio_intervals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lkgrag.evaluation.protocol import SplitResult

#: Share of all interactions that the most popular items have, and that the least popular ones have.
HEAD = TAIL = 0.2
#: The three classes of items.
CLASSES = ("head", "middle", "tail")


def popularity_classes(popularity: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of each item: 0 head, 1 middle, 2 tail.

    The head is the fewest items that have a fifth of all interactions. The tail is the most items that have no more
    than a fifth (Abdollahpouri et al. 2021, "User-centered Evaluation of Popularity Bias in Recommender Systems").
    Of equally popular items the one with the smaller index comes first.

    Args:
        popularity: int64 ``[I]``, training interactions.

    Returns:
        int64 ``[I]``.
    """
    order = np.argsort(-popularity, kind="stable")
    upto = np.cumsum(popularity[order])
    total = int(upto[-1]) if len(upto) else 0
    before = upto - popularity[order]
    out = np.ones(len(popularity), np.int64)
    out[order[before < HEAD * total]] = 0
    rest = total - before
    out[order[(rest <= TAIL * total) & (before >= HEAD * total)]] = 2
    return out


def self_information(popularity: NDArray[np.int64]) -> NDArray[np.float64]:
    """How surprising each item is, in bits: ``-log2`` of its share of the training interactions.

    It is the novelty by free discovery of Vargas and Castells (2011), "Rank and Relevance in Novelty and Diversity
    Metrics for Recommender Systems". An item that nobody chose counts as chosen once.

    Args:
        popularity: int64 ``[I]``.

    Returns:
        float64 ``[I]``.
    """
    chosen = np.maximum(popularity, 1).astype(np.float64)
    return np.log2(max(int(popularity.sum()), 1)) - np.log2(chosen)


def of_lists(
    lists: NDArray[np.int64], popularity: NDArray[np.int64], classes: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Figures of each list, float64 ``[B]``.

    Args:
        lists: int64 ``[B, k]``, no padding.
        popularity: int64 ``[I]``.
        classes: of :func:`popularity_classes`.

    Returns:
        ``popularity``, the mean of the items' popularity (its mean over lists is the ARP of Yin et al. 2012);
        ``tail``, the share of items of the tail (the APLT of Abdollahpouri et al. 2019); ``novelty``, the mean of
        :func:`self_information`.
    """
    return {
        "popularity": popularity[lists].mean(1, dtype=np.float64),
        "tail": (classes[lists] == CLASSES.index("tail")).mean(1),
        "novelty": self_information(popularity)[lists].mean(1),
    }


def of_histories(
    histories: Sequence[NDArray[np.int64]],
    popularity: NDArray[np.int64],
    classes: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean popularity of each history, float64 ``[B]``, and its shares of the classes, float64 ``[B, 3]``.

    NaN for an empty history.
    """
    mean = np.full(len(histories), np.nan)
    shares = np.full((len(histories), len(CLASSES)), np.nan)
    for row, items in enumerate(histories):
        if len(items):
            mean[row] = popularity[items].mean(dtype=np.float64)
            shares[row] = np.bincount(classes[items], minlength=len(CLASSES)) / len(items)
    return mean, shares


def deviation(shares: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jensen-Shannon divergence of rows of shares, in bits: 0 for equal ones, 1 for disjoint ones; float64 ``[B]``."""
    middle = (shares + others) / 2

    def divergence(part: NDArray[np.float64]) -> NDArray[np.float64]:
        ratio = np.divide(part, middle, out=np.ones_like(part), where=part > 0)
        return np.asarray((part * np.log2(ratio)).sum(1))

    return np.maximum(0.0, (divergence(shares) + divergence(others)) / 2)


def list_shares(lists: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The shares of the classes in each list, float64 ``[B, 3]``."""
    return np.stack([(classes[lists] == n).mean(1) for n in range(len(CLASSES))], 1)


def opportunity_bias(
    result: SplitResult,
    keep: NDArray[np.bool_],
    popularity: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> dict[str, list[float]]:
    """How much better a system ranks true items that are popular: popularity-opportunity bias.

    It is the measure PRI of Zhu et al. (2021), "Popularity-Opportunity Bias in Collaborative Filtering": minus
    Spearman's correlation of the true items' popularity with their ranks. Here each event counts, not each item,
    because most items are the true one of few events. 0 is no bias; 1 orders the true items by popularity.

    Args:
        result: of a split; a rank that is missed or behind its depth counts as the first one behind it.
        keep: bool ``[E]``, the events that count.
        popularity: int64 ``[I]``.
        resamples: of users, at most :data:`~lkgrag.evaluation.resampling.MOST`; the ranks of all events are kept.
        seed: of the draws.

    Returns:
        ``[value, low, high]`` of each system with ranks; NaN where either side does not vary.
    """
    users = Users.of(result.user[keep], resamples, seed)
    times = users.draw() if users.number else np.zeros((0, 0))
    x = _centred_ranks(popularity[result.target[keep]])
    out = {}
    for system, ranks in result.ranks.items():
        if system == RANDOM:
            continue
        place = np.where((ranks < 1) | (ranks > result.depth), result.depth + 1, ranks)[keep]
        y = _centred_ranks(place)
        columns = {"n": np.ones(len(x)), "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
        value = _minus_correlation({name: np.array([c.sum()]) for name, c in columns.items()})[0]
        ends = ratio_intervals(users, columns, {"pri": _minus_correlation}, times)["pri"]
        out[system] = [float(value), *ends]
    return out


def _centred_ranks(values: NDArray[np.int64]) -> NDArray[np.float64]:
    ranks = rankdata(values)
    return np.asarray(ranks - ranks.mean() if len(ranks) else ranks, np.float64)


def _minus_correlation(sums: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Minus Pearson's correlation from sums; NaN where a variance is 0."""
    number = np.maximum(sums["n"], 1)
    covariance = sums["xy"] / number - sums["x"] * sums["y"] / number**2
    variances = [sums[c * 2] / number - (sums[c] / number) ** 2 for c in ("x", "y")]
    spread = np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0))
    return np.divide(-covariance, spread, out=np.full_like(spread, np.nan), where=spread > 1e-12)
