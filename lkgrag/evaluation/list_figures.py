"""Figures of the lists that a system shows, beside those of :mod:`lkgrag.evaluation.beyond`, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lkgrag.evaluation.exposure import measure_exposure
from lkgrag.evaluation.popularity import deviation, list_shares, of_lists
from lkgrag.evaluation.resampling import mean_of, ratio_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.evaluation.resampling import Formula, Users
    from lkgrag.kg.item_vectors import ItemVectors

T = TypeVar("T")
#: Figures that :func:`~lkgrag.evaluation.beyond.beyond_accuracy` gives; here they only get intervals.
GIVEN = ("coverage", "personalization", "popularity", "diversity")


@dataclass(frozen=True)
class Items:
    """What is known of ``I`` items.

    Attributes:
        popularity: int64 ``[I]``, training interactions.
        classes: int64 ``[I]``, of :func:`~lkgrag.evaluation.popularity.popularity_classes`.
        category: int64 ``[I]``, of :func:`~lkgrag.evaluation.beyond.categories`; None without one.
        vectors: of the items; None without any.
    """

    popularity: NDArray[np.int64]
    classes: NDArray[np.int64]
    category: NDArray[np.int64] | None
    vectors: ItemVectors | None


def describe_lists(
    lists: NDArray[np.int64],
    items: Items,
    users: Users,
    times: NDArray[np.float64],
    profile: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Exposure, popularity bias, novelty and diversity of lists, with intervals over users.

    Args:
        lists: int64 ``[B, k]``, no padding.
        items: what is known of the items.
        users: of the lists.
        times: of ``users.draw()``.
        profile: of the lists' users, of :func:`~lkgrag.evaluation.popularity.of_histories`.

    Returns:
        The figures, and ``[low, high]`` of each and of those of :func:`~lkgrag.evaluation.beyond.beyond_accuracy`. The figures are ``gini@k``
        and ``entropy@k`` (:func:`~lkgrag.evaluation.exposure.exposure`); ``novelty@k`` and ``tail@k``
        (:func:`~lkgrag.evaluation.popularity.of_lists`); ``lift@k``, by how much the lists are more popular than the
        histories, as a share (the popularity lift of Abdollahpouri et al. 2020); ``miscalibration@k``, the mean
        Jensen-Shannon divergence of a list's and its history's shares of head, middle and tail (their UPD, 2021);
        and ``ild@k``, the mean distance of a list's items, where they have vectors.
    """
    k = lists.shape[1]
    exposed, ends = measure_exposure(lists, len(items.popularity), users, times)
    each = of_lists(lists, items.popularity, items.classes)
    if items.vectors is not None and k > 1:
        each["ild"] = items.vectors.distances(lists)
    if items.category is not None and k > 1:
        each["diversity"] = _differing(items.category[lists])
    before, shares = profile
    known = np.isfinite(before)
    columns = {name: values for name, values in each.items()}
    columns["lists"] = np.ones(len(lists))
    columns["known"] = known.astype(np.float64)
    columns["before"] = np.where(known, before, 0.0)
    columns["after"] = np.where(known, each["popularity"], 0.0)
    apart = deviation(shares[known], list_shares(lists[known], items.classes))
    columns["apart"] = np.zeros(len(lists))
    columns["apart"][known] = apart
    formulas: dict[str, Formula] = {name: mean_of(name, "lists") for name in each}
    formulas["lift"] = lambda sums: sums["after"] / sums["before"] - 1
    formulas["miscalibration"] = mean_of("apart", "known")
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = {name: np.array([values.sum()]) for name, values in columns.items()}
        found = {name: float(formula(sums)[0]) for name, formula in formulas.items()}
    ends |= ratio_intervals(users, columns, formulas, times)
    figures = {n: v for n, v in {**exposed, **found}.items() if n not in GIVEN}
    return _at(figures, k), _at(ends, k)


def _at(values: Mapping[str, T], k: int) -> dict[str, T]:
    """The values by names with the length of the lists."""
    return {f"{name}@{k}": value for name, value in values.items()}


def _differing(kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of each list's pairs of places whose categories differ, float64 ``[B]``."""
    k = kinds.shape[1]
    alike = np.zeros(len(kinds))
    for gap in range(1, k):
        alike += (kinds[:, gap:] == kinds[:, :-gap]).sum(1)
    return 1.0 - alike / (k * (k - 1) // 2)
