"""Varied lists: candidates reordered so that no item is much like those above it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.texts import as_float
from lkgrag.errors import ConfigError, short
from lkgrag.serving.arguments import is_real_number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.serving.context import Context


def check_diversity(context: Context, diversity: object) -> float:
    """Check how much variety is asked for.

    Args:
        context: of the ranker.
        diversity: from 0, the order of the scores, to 1, where the first item alone follows from the scores.

    Raises:
        ConfigError: it is no number from 0 to 1, or nothing tells the items apart.
    """
    if not is_real_number(diversity):
        raise ConfigError(
            f"diversity: must be a number from 0 to 1, got {short(repr(diversity))} "
            f"({type(diversity).__name__})"
        )
    number = as_float(diversity)
    if not (math.isfinite(number) and 0 <= number <= 1):
        raise ConfigError(f"diversity={short(str(diversity))}: must be a number from 0 to 1")
    if number > 0 and context.item_vectors is None:
        raise ConfigError(
            "diversity: the items of this ranker have neither attributes nor vectors of their texts, so nothing "
            "tells how alike they are; leave diversity out"
        )
    return number


@dataclass(frozen=True)
class Reordered:
    """Candidates in their new order.

    Attributes:
        order: int64 ``[n]``, places in the old order.
        alike: float64 ``[n]``, how alike each is to the most alike item above it, in [0, 1]; 0 for the first.
    """

    order: NDArray[np.int64]
    alike: NDArray[np.float64]


def reorder(
    scores: NDArray[np.floating], similarity: NDArray[np.float64], diversity: float, k: int
) -> Reordered:
    r"""Choose items one after the other by maximal marginal relevance (MMR; Carbonell and Goldstein 1998).

    The next item is the one with the largest :math:`(1-d)\,s_i - d\,\max_{j} \mathrm{sim}(i,j)` over the items
    :math:`j` that are chosen already. Scores are brought to [0, 1] by the list's smallest and largest one, since
    similarities lie there, too; equal scores all become 1. Of equal items the one that was first stays first.

    Args:
        scores: float ``[n]``, of the candidates, best first; NaN and minus infinity count as 0.
        similarity: float64 ``[n, n]``, in [0, 1].
        diversity: ``d``, from 0 to 1.
        k: items to choose.

    Returns:
        The first ``min(k, n)`` items.
    """
    relevance = _unit(np.asarray(scores, np.float64))
    number = len(relevance)
    nearest = np.zeros(number)
    open_ = np.ones(number, bool)
    order, alike = [], []
    for place in range(min(k, number)):
        # The first one is that of the highest score, also where the scores shall not count.
        gain = (1 - diversity) * relevance - diversity * nearest if place else relevance
        best = int(np.where(open_, gain, -np.inf).argmax())
        order.append(best)
        alike.append(nearest[best])
        open_[best] = False
        nearest = np.maximum(nearest, similarity[best])
    return Reordered(np.asarray(order, np.int64), np.asarray(alike, np.float64))


def _unit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores brought to [0, 1]."""
    finite = np.isfinite(scores)
    if not finite.any():
        return np.ones(len(scores))
    low, high = scores[finite].min(), scores[finite].max()
    if high <= low:
        return np.where(finite, 1.0, 0.0)
    return np.where(finite, (scores - low) / (high - low), 0.0)
