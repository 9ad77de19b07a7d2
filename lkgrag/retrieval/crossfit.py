"""Cross-fitting: candidate lists that stage two learns on, from a stage one without their answers.

Stage two would trust a retriever too much if it learned on lists of one that has already seen the answers. So
the examples' candidates come from a stage one that was fitted without them. Even its fusion weights come from
other users' answers. Each fold of users has a stage one of its own. With windows it misses the last training
interactions of that fold's users and so errs nearly as the one that serves. With whole users it misses all of
theirs, so that there is a list at every position of a user but the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.config import DEFAULT_FOLDS
from lkgrag.data.splits.base import every_training_event
from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.fusion.fitting import WEIGHT_EVENTS, Fold, fit_fusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events, Split

#: Positions that lists are made for, in multiples of the lists with their target that are asked for. On the
#: measured data sets one list of 2.5 to 7 holds its target.
POSITIONS_A_LIST = 6
#: Parts of the users; the weights of one part's lists are fitted on the other part.
HALVES = 2


def num_folds(config: RetrievalConfig) -> int:
    """How many folds of users ``retrieval.crossfit_folds`` asks for."""
    return config.crossfit_folds or DEFAULT_FOLDS[config.crossfit]


def user_folds(num_users: int, folds: int, seed: int) -> list[NDArray[np.bool_]]:
    """Users in random parts, a mask ``[num_users]`` each."""
    drawn = np.random.default_rng([seed, 0xF2]).integers(0, folds, num_users)
    return [drawn == number for number in range(folds)]


def whole_user_folds(
    train_end: NDArray[np.int64], folds: int, seed: int
) -> list[NDArray[np.bool_]]:
    """Users with training interactions in random parts of equal size, a mask ``[num_users]`` each.

    Every part leaves someone to fit on.

    Args:
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        folds: most parts; there are no more than such users.
        seed: of the draw.

    Returns:
        The parts; none if there are fewer than two such users.
    """
    users = np.random.default_rng([seed, 0xF3]).permutation(np.flatnonzero(train_end > 0))
    parts = np.full(len(train_end), -1)
    parts[users] = np.arange(len(users)) % max(1, folds)
    count = min(folds, len(users))
    return [parts == number for number in range(count)] if count > 1 else []


def spread_over_users(
    user: NDArray[np.int64],
    most: int,
    seed: int,
    position: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Draw events so that those with the most events give up some first.

    Args:
        user: int64 ``[E]``, the user of each event.
        most: how many to draw.
        seed: of the draw.
        position: int64 ``[E]``, to draw the latest of each user; any of them by default.

    Returns:
        int64 indices of at most ``most`` events, in rising order.
    """
    if len(user) <= most:
        return np.arange(len(user))
    rng = np.random.default_rng([seed, 0xF4])
    order = np.lexsort((rng.random(len(user)) if position is None else -position, user))
    _, first, counts = np.unique(user[order], return_index=True, return_counts=True)
    turn = np.arange(len(user)) - np.repeat(first, counts)
    # In turns: each user gives one event, then another one, until there are enough.
    drawn = order[np.lexsort((rng.random(len(user)), turn))[:most]]
    return np.sort(drawn)


def training_positions(
    interactions: Interactions, train_end: NDArray[np.int64], config: RetrievalConfig, seed: int
) -> Events:
    """The events of ``retrieval.crossfit=users``: training positions from a user's second on.

    Args:
        interactions: the sequences.
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        config: how many lists with their target are asked for; :data:`POSITIONS_A_LIST` as many are drawn.
        seed: of the draw.
    """
    events = every_training_event(interactions, train_end)
    return events[spread_over_users(events.user, POSITIONS_A_LIST * config.crossfit_lists, seed)]


@dataclass(frozen=True)
class CrossfitPlan:
    """What cross-fitting leaves out.

    Attributes:
        folds: for each further fit of stage one, its users (bool ``[num_users]``) and the number of
            interactions of everyone that it sees (int64 ``[num_users]``); none if nothing is left out.
        events: what stage two learns to predict.
        weighed: those of them that the weights of fusion are fitted on.
        fit_ends: int64 ``[F, num_users]``, as :attr:`~lkgrag.retrieval.StageOne.fit_ends`.
        fold: int64 ``[num_users]``, as :attr:`~lkgrag.retrieval.StageOne.fold`.
    """

    folds: list[tuple[NDArray[np.bool_], NDArray[np.int64]]]
    events: Events
    weighed: Events
    fit_ends: NDArray[np.int64]
    fold: NDArray[np.int64]


def plan_crossfit(
    interactions: Interactions, split: Split, config: RetrievalConfig, seed: int
) -> CrossfitPlan:
    """Decide what each fit of stage one leaves out, and for which events it proposes candidates.

    Args:
        interactions: the sequences.
        split: what trains.
        config: ``crossfit`` and its options.
        seed: of all draws.
    """
    train_end, number = split.train_end, num_folds(config)
    same = np.zeros(interactions.num_users, np.int64)
    if config.crossfit == "users":
        outs = whole_user_folds(train_end, number, seed)
        # Whoever is alone leaves nobody to fit on.
        ends = [np.where(out, 0, train_end) for out in outs]
        events = training_positions(interactions, train_end * bool(outs), config, seed)
        fold = np.argmax(outs, 0) if outs else same
        fit_ends = np.stack(ends or [train_end])
        # The histories of these are as long as those that are served, and weights depend on the length.
        late = spread_over_users(events.user, HALVES * WEIGHT_EVENTS, seed, events.position)
        folds = list(zip(outs, ends, strict=True))
        return CrossfitPlan(folds, events, events[late], fit_ends, fold)
    fit_end, events = split.holdback(
        interactions, config.crossfit_window, config.crossfit_users, seed
    )
    outs = user_folds(interactions.num_users, number, seed) if len(events) else []
    folds = [(out, np.where(out, fit_end, train_end)) for out in outs]
    seen = train_end if config.crossfit == "none" else fit_end
    return CrossfitPlan(folds, events, events, seen[None], same)


def crossfitted_lists(
    folds: Sequence[Fold],
    interactions: Interactions,
    k: int,
    seed: int,
    weighed: Events | None = None,
) -> CandidateLists:
    """Lists for held-back events, with weights fitted on the events of other users only.

    Args:
        folds: systems, each with events that they were fitted without.
        interactions: the sequences.
        k: candidates an event.
        seed: of the halves of users.
        weighed: the events that the weights are fitted on, if not on all.
    """
    parts = []
    halves = np.random.default_rng([seed, 0xF1]).integers(0, HALVES, interactions.num_users)
    for number in range(HALVES):
        inside = halves == number
        others = [fold.of(~inside) for fold in folds]
        if weighed is not None:
            others = [fold.only(weighed) for fold in others]
        which = f"half {number + 1} of {HALVES} of the users"
        weights = fit_fusion(others, interactions, seed, users=which)
        for fold in folds:
            mine = fold.of(inside)
            parts.append(candidate_lists(weights.apply(fold.base), interactions, mine.events, k))
    return CandidateLists.concat(parts)
