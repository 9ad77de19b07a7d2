"""Ranks, and what is computed from them.

A rank is 1 for the best; 0 means that the target was missed (it is not in the list). One target an
event, so that Recall@k is the hit rate and the ideal DCG is 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_NAME = re.compile(r"mrr|(ndcg|recall)@([1-9][0-9]*)")


def metric_names(ks: list[int]) -> list[str]:
    """The names of all metrics for the cut-offs ``ks``, in the order of tables.

    >>> metric_names([5, 10])
    ['mrr', 'ndcg@5', 'ndcg@10', 'recall@1', 'recall@5', 'recall@10']
    """
    cuts = sorted(set(ks))
    recalls = sorted({1, *cuts})
    return ["mrr", *(f"ndcg@{k}" for k in cuts), *(f"recall@{k}" for k in recalls)]


def pessimistic_rank(
    scores: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Rank of each target among its candidates; equals count against the system.

    Args:
        scores: float ``[B, C]``, higher is better; NaN counts as the worst score there is.
        target: int64 ``[B]``, a slot, or -1 where the target is no candidate.
        mask: bool ``[B, C]``, filled slots; all of them by default.

    Returns:
        int64 ``[B]``, 1 for the best; 0 where the target is -1.

    Raises:
        ValueError: a target is an empty slot or out of range.
    """
    values = np.asarray(scores, np.float64)
    slot = np.asarray(target, np.int64)
    filled = np.ones(values.shape, bool) if mask is None else np.asarray(mask, bool)
    if slot.size and (slot.min() < -1 or slot.max() >= values.shape[1]):
        raise ValueError(f"target must lie in [-1, {values.shape[1]})")
    values = np.where(np.isnan(values), -np.inf, values)
    rows, there = np.arange(len(slot)), slot >= 0
    place = np.where(there, slot, 0)
    if values.shape[1] == 0:
        return np.zeros(len(slot), np.int64)
    if not filled[rows, place][there].all():
        raise ValueError("a target must be a filled slot")
    ahead = (values >= values[rows, place][:, None]) & filled
    return np.where(there, ahead.sum(1), 0).astype(np.int64)


def gains(ranks: ArrayLike, metric: str) -> NDArray[np.float64]:
    r"""The metric of each event alone; its mean over events is the metric.

    ``mrr``: :math:`1/r`; ``ndcg@k``: :math:`1/\log_2(1+r)` if :math:`r \le k`; ``recall@k``: 1 if
    :math:`r \le k`. A missed target has 0.

    Args:
        ranks: int64, any shape, 0 for missed.
        metric: ``mrr``, ``ndcg@k`` or ``recall@k``.

    Raises:
        ValueError: no such metric, or a negative rank.
    """
    rank = np.asarray(ranks, np.int64)
    if rank.size and rank.min() < 0:
        raise ValueError("ranks must be 1 or more, or 0 for missed")
    found = _NAME.fullmatch(metric)
    if found is None:
        raise ValueError(f"no metric '{metric}': there are mrr, ndcg@k and recall@k")
    safe = np.maximum(rank, 1)
    if metric == "mrr":
        gain, hit = 1.0 / safe, rank > 0
    else:
        hit = (rank > 0) & (rank <= int(found[2]))
        gain = 1.0 / np.log2(1.0 + safe) if found[1] == "ndcg" else np.ones(rank.shape)
    return np.where(hit, gain, 0.0)


def expected_gains(num_candidates: ArrayLike, metric: str) -> NDArray[np.float64]:
    """What a uniformly random order of the candidates gives on average, in closed form.

    The target's rank is uniform on ``1..n``, so the expectation is the mean of the gains of all ranks.

    Args:
        num_candidates: int64 ``[E]``, length of each list that holds the target; 0 for a miss.
        metric: as in :func:`gains`.
    """
    count = np.asarray(num_candidates, np.int64)
    longest = int(count.max(initial=0))
    total = np.concatenate([[0.0], np.cumsum(gains(np.arange(1, longest + 1), metric))])
    return np.where(count > 0, total[count] / np.maximum(count, 1), 0.0)
