"""What a language model adds to scorer and prior: a conditional logit over users, and its learning curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lkgrag.evaluation import pessimistic_rank
from lkgrag.evaluation.significance import detectable, paired_bootstrap
from lkgrag.ranker.fusion_weights import TermLists, cross_fit_weights
from lkgrag.utils.gains import discounted_gain

#: Numbers of lists that a learning curve trains on.
SIZES = (2_500, 5_000, 10_000, 20_000)
#: The figure is NDCG at this depth.
DEPTH = 10


def stack(lists: TermLists, seed: int = 0) -> dict[str, Any]:
    """Stack the language model's scores over scorer and prior, with weights fitted on other users.

    The lists must be new to the language model. The base has weights that were fitted alike, without the
    language model's scores.

    Args:
        lists: ``E`` lists with their target.
        seed: of the folds of users and the resamples.

    Returns:
        ``base`` and ``stacked``, NDCG@10 over the lists; the difference with ``se``, ``low``, ``high`` and ``p``
        (paired bootstrap over users); ``detectable``, the smallest difference that would have shown (power .8).
    """
    weights = cross_fit_weights(lists, seed=seed)
    base, stacked = (_gain(lists, w) for w in (weights.control, weights.with_lm))
    difference = paired_bootstrap(stacked - base, lists.user, seed=seed)
    return {
        "base": float(base.mean()),
        "stacked": float(stacked.mean()),
        **difference.to_dict(),
        "detectable": detectable(difference.se),
    }


def _gain(lists: TermLists, weights: Any) -> Any:
    """NDCG of each list, float64 ``[E]``, with weights of its own, float64 ``[E, 3]``."""
    scores = np.where(lists.mask, (weights.T[:, :, None] * lists.terms).sum(0), -np.inf)
    return discounted_gain(pessimistic_rank(scores, lists.target, lists.mask), DEPTH)


def learning_curve(
    train: Callable[[int], TermLists], sizes: Sequence[int] = SIZES, seed: int = 0
) -> list[dict[str, Any]]:
    """Train on more and more lists, and stack each time.

    Args:
        train: trains on so many lists and scores lists that it has not seen, always the same ones.
        sizes: numbers of lists.
        seed: as of :func:`stack`.

    Returns:
        One row a size: ``lists``, and what :func:`stack` gives.
    """
    return [{"lists": size, **stack(train(size), seed)} for size in sizes]


def describe(row: dict[str, Any]) -> str:
    """A row of a learning curve in one line."""
    return (
        f"{row['lists']:>7,} lists: {row['base']:.4f} -> {row['stacked']:.4f}, {row['mean']:+.4f} "
        f"(standard error {row['se']:.4f}, p {row['p']:.3f}; {row['detectable']:.4f} would have shown)"
    )
