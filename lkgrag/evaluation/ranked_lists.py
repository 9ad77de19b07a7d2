"""Ranked lists as the evaluation counts them: the target at its own rank, and scores that strictly fall.

Other programs order equal scores in their own ways. Here a target stands behind all items that tie with it, and no two
scores are equal, so that each program finds the rank that counts here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.evaluation.protocol import place
from lkgrag.ranker.scoring import LM, SCORER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.evaluation.protocol import SplitResult
    from lkgrag.evaluation.result import Evaluation
    from lkgrag.ranker.scoring import Predictions

    #: Items int64 ``[E, k]``, best first, -1 padding, and their scores ``[E, k]``.
    Lists = tuple[NDArray[np.int64], NDArray[np.floating]]

#: Scores are kept within these bounds, where a float of 32 bits has room for a next lower one.
LARGEST = 1e30


@dataclass(frozen=True)
class RankedLists:
    """The lists of one system on the events of a split.

    Attributes:
        items: item indices, int64 ``[E, k]``, best first, -1 padding at the end.
        scores: float32 ``[E, k]``, strictly falling.
        covered: bool ``[E]``, the events that the system ranks.
    """

    items: NDArray[np.int64]
    scores: NDArray[np.float32]
    covered: NDArray[np.bool_]


def ranked_lists(
    evaluation: Evaluation,
    split: str,
    by_stage_one: Mapping[str, Lists],
    candidates: NDArray[np.int64],
    missed: Predictions,
) -> dict[str, RankedLists]:
    """The lists of every system with lists, in the order of tables.

    ``random`` has none, because its figures are expectations. ``without_text`` has ranks only.

    Args:
        evaluation: the ranks and the scores behind them.
        split: ``val`` or ``test``.
        by_stage_one: lists of stage one's systems, at least one item longer than those that are ranked.
        candidates: int64 ``[E, C]``, of each event, -1 padding.
        missed: scores of the lists that do not hold their target.
    """
    result = evaluation.result_of(split)
    filled = candidates >= 0
    lists: dict[str, Lists] = {n: v for n, v in by_stage_one.items() if n in result.ranks}
    for name, scores in _reorderings(evaluation, split, missed).items():
        if name in result.ranks:
            lists[name] = _best_first(candidates, np.where(filled, scores, -np.inf))
    return {
        name: RankedLists(
            *place_targets(*lists[name], result.target, _ranks(result, name), result.depth),
            result.covered(name),
        )
        for name in sorted(lists, key=place)
    }


def _ranks(result: SplitResult, system: str) -> NDArray[np.int64]:
    """Ranks as the figures count them: 0 behind the depth."""
    ranks = result.ranks[system]
    return np.where(ranks <= result.depth, ranks, 0)


def _reorderings(
    evaluation: Evaluation, split: str, missed: Predictions
) -> dict[str, NDArray[np.float64]]:
    """Scores ``[E, C]`` of the systems that reorder candidates; the weights are those of the figures."""
    scored, retrieved = evaluation.scored[split], evaluation.result_of(split).retrieved
    weights, of_lists = evaluation.weights, evaluation.of_lists
    chosen, without = evaluation.fusion.weights, weights.without_lm
    if split == "val":
        # On validation each list has weights that were fitted on other users.
        of_ranker = of_lists.chosen if evaluation.has_lm else of_lists.without_lm
        fused = scored.fused(of_ranker), scored.fused(of_lists.without_lm)
    else:
        fused = scored.fused(chosen), scored.fused(without)

    def join(own: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.empty((len(retrieved), own.shape[1]))
        out[retrieved], out[~retrieved] = own, other
        return out

    return {
        "lm": join(scored.term(LM), missed.term(LM)),
        "scorer": join(scored.term(SCORER), missed.term(SCORER)),
        "without_lm": join(fused[1], missed.fused(without)),
        "ranker": join(fused[0], missed.fused(chosen)),
    }


def _best_first(items: NDArray[np.int64], scores: NDArray[np.float64]) -> Lists:
    """Candidates by falling score; padding and scores that are no number come last, equals keep their order."""
    worst = np.where(np.isnan(scores), -np.inf, scores)
    order = np.lexsort((-worst, items < 0), axis=1)
    return np.take_along_axis(items, order, 1), np.take_along_axis(worst, order, 1)


def place_targets(
    items: NDArray[np.int64],
    scores: NDArray[np.floating],
    target: NDArray[np.int64],
    rank: NDArray[np.int64],
    depth: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Put each target at its rank among the other items, and make the scores fall strictly.

    Args:
        items: int64 ``[E, k]``, best first, -1 padding at the end, at least ``depth`` others than the target where there
            are so many.
        scores: float ``[E, k]``, not rising.
        target: int64 ``[E]``.
        rank: int64 ``[E]``, 1 the best, 0 for a missed target, which is left out.
        depth: where the lists end.

    Returns:
        Items int64 ``[E, depth]``, and scores float32 ``[E, depth]``, 0 in padding.
    """
    is_other = (items != target[:, None]) & (items >= 0)
    order = np.argsort(~is_other, axis=1, kind="stable")
    others = np.where(is_other, items, -1)
    others = np.take_along_axis(others, order, 1)
    values = np.take_along_axis(np.asarray(scores, np.float64), order, 1)
    # Room for one more at the end.
    short = max(depth + 1 - others.shape[1], 1)
    others = np.pad(others, ((0, 0), (0, short)), constant_values=-1)
    values = np.pad(values, ((0, 0), (0, short)), constant_values=-np.inf)
    column = np.arange(depth)[None, :]
    goal = np.where(rank > 0, rank - 1, depth)[:, None]
    source = column - (column > goal)
    found = np.where(column == goal, target[:, None], np.take_along_axis(others, source, 1))
    own = np.where(items == target[:, None], np.asarray(scores, np.float64), -np.inf).max(
        1, initial=-np.inf
    )
    moved = np.where(column == goal, own[:, None], np.take_along_axis(values, source, 1))
    return found, np.where(found >= 0, strictly_falling(moved), 0).astype(np.float32)


def strictly_falling(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Lower scores as little as makes each row fall strictly, also as floats of 32 bits, which ``trec_eval`` reads.

    Args:
        scores: float ``[E, k]``; what is no number, or infinite, becomes the lowest or highest there may be.

    Returns:
        float32 of the same shape, finite.
    """
    clean = np.nan_to_num(
        np.asarray(scores, np.float64), nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST
    )
    out = np.clip(clean, -LARGEST, LARGEST).astype(np.float32)
    for column in range(1, out.shape[1]):
        below = np.nextafter(out[:, column - 1], np.float32(-np.inf))
        out[:, column] = np.minimum(out[:, column], below)
    return out
