"""Cross-fitting: candidate lists for the windows that stage two learns on.

Stage two would trust a retriever too much if it learned on lists of one that has already seen the answers. So
the examples' candidates come from a stage one that was fitted without them. Even its fusion weights come from
other users' windows. Each fold of users has a stage one of its own, which misses the windows of that fold only
and so errs nearly as the one that serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.fusion.fitting import Fold, fit_fusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions

#: Parts of the users; the weights of one part's lists are fitted on the other part.
HALVES = 2


def user_folds(num_users: int, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Users in random parts, a mask ``[num_users]`` each."""
    drawn = np.random.default_rng([seed, 0xF2]).integers(0, folds, num_users)
    return [drawn == number for number in range(folds)]


def crossfitted_lists(
    folds: Sequence[Fold], interactions: Interactions, k: int, seed: int
) -> CandidateLists:
    """Lists for held-back events, with weights fitted on the events of other users only.

    Args:
        folds: systems, each with events that they were fitted without.
        interactions: the sequences.
        k: candidates an event.
        seed: of the halves of users.
    """
    parts = []
    halves = np.random.default_rng([seed, 0xF1]).integers(0, HALVES, interactions.num_users)
    for number in range(HALVES):
        inside = halves == number
        weights = fit_fusion([fold.of(~inside) for fold in folds], interactions, seed)
        for fold in folds:
            mine = fold.of(inside)
            parts.append(candidate_lists(weights.apply(fold.base), interactions, mine.events, k))
    return CandidateLists.concat(parts)
