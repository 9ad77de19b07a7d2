"""A conditional logit over lists, fitted on other users: how evidence of several kinds is added up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.utils.gains import discounted_gain, hit_gain
from lkgrag.utils.standard_errors import standard_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Parts of the users. The weights for one part are fitted on all others.
FOLDS = 5
#: Pull of the weights towards 0, in units of events, for evidence of standard deviation 1.
RIDGE = 1.0
#: Items that an event's target competes with in the fit, drawn evenly.
COMPETITORS = 100


@dataclass(frozen=True)
class Lists:
    """Events and what is known of their candidates.

    Attributes:
        target: int64 ``[E]``, the slot of the target.
        user: int64 ``[E]``.
        filled: bool ``[E, C]``, slots with a candidate.
    """

    target: NDArray[np.int64]
    user: NDArray[np.int64]
    filled: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of events."""
        return len(self.target)


def fold_of(user: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The part of each event's user, int64 ``[E]`` from 0 to :data:`FOLDS` - 1."""
    drawn = np.random.default_rng([seed, 0x10617]).integers(0, FOLDS, int(user.max()) + 1)
    return np.asarray(drawn[user], np.int64)


def cross_validated(
    lists: Lists, evidence: list[NDArray[np.float32]], seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scores of all candidates, each by weights that were fitted on other users.

    Args:
        lists: ``E`` events with ``C`` slots.
        evidence: ``F`` arrays, float32 ``[E, C]``.
        seed: of the folds and of the competitors.

    Returns:
        Scores float32 ``[E, C]``, and the mean weights float64 ``[F]`` of the standardised evidence.
    """
    mean = np.array([_mean(x, lists.filled) for x in evidence])
    unit = np.array([_spread(x, lists.filled, m) for x, m in zip(evidence, mean, strict=True)])
    drawn = _competitors(lists, seed)
    rows = np.arange(len(lists))[:, None]
    # [E, D, F], the target's slot first.
    table = np.stack(
        [(x[rows, drawn] - m) / u for x, m, u in zip(evidence, mean, unit, strict=True)], 2
    )
    table = np.where(lists.filled[rows, drawn][..., None], table, 0).astype(np.float32)
    blocked = ~lists.filled[rows, drawn]
    # A slot that was drawn twice, and the target, must not compete twice with it.
    blocked[:, 1:] |= drawn[:, 1:] == lists.target[:, None]
    fold, scores = fold_of(lists.user, seed), np.zeros(lists.filled.shape, np.float32)
    weights = []
    for number in np.unique(fold):
        out = fold == number
        weights.append(fit_logit(table[~out], blocked[~out]))
        for x, m, u, w in zip(evidence, mean, unit, weights[-1], strict=True):
            scores[out] += np.float32(w / u) * (x[out] - np.float32(m))
    return scores, np.mean(weights, 0)


def fit_logit(
    table: NDArray[np.float32], blocked: NDArray[np.bool_], ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Weights that make the first slot of each list likely, float64 ``[F]``.

    Args:
        table: evidence, float32 ``[E, D, F]``.
        blocked: bool ``[E, D]``, slots that do not compete; never the first.
        ridge: pull towards 0.
    """
    from scipy.optimize import minimize

    flat, shape = table.reshape(-1, table.shape[2]), table.shape[:2]
    mine = table[:, 0].sum(0, dtype=np.float64)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = (flat @ weights.astype(np.float32)).reshape(shape).astype(np.float64)
        score[blocked] = -np.inf
        peak = score.max(1, keepdims=True)
        chance = np.exp(score - peak)
        total = chance.sum(1, keepdims=True)
        chance /= total
        value = float((peak + np.log(total)).sum() - mine @ weights + ridge * weights @ weights)
        slope = chance.astype(np.float32).ravel() @ flat - mine + 2 * ridge * weights
        return value, slope.astype(np.float64)

    start = np.zeros(table.shape[2])
    return np.asarray(
        minimize(loss, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-8}).x, np.float64
    )


def ranks_of(scores: NDArray[np.float32], lists: Lists) -> NDArray[np.int64]:
    """Rank of each target in its list, 1 the best; equal scores count against it. int64 ``[E]``."""
    mine = scores[np.arange(len(lists)), lists.target][:, None]
    return ((scores >= mine) & lists.filled).sum(1).astype(np.int64)


def figures(
    ranks: NDArray[np.int64], user: NDArray[np.int64], base: NDArray[np.int64] | None = None
) -> dict[str, Any]:
    """NDCG@10 and recall@10, and the difference to a base, with users as the units.

    Args:
        ranks: int64 ``[E]``, 1 the best.
        user: int64 ``[E]``.
        base: ranks of the same events by another system.

    Returns:
        ``ndcg@10``, ``recall@10``; with a base ``gain`` (its share of the base's NDCG@10), ``error`` (one
        standard error of that share), ``t`` and ``p`` (normal, two-sided).
    """
    gain = discounted_gain(ranks, 10)
    row: dict[str, Any] = {
        "ndcg@10": float(gain.mean()),
        "recall@10": float(hit_gain(ranks, 10).mean()),
    }
    if base is not None:
        other = discounted_gain(base, 10)
        level = float(other.mean())
        error, gap = standard_error(gain - other, user), float((gain - other).mean())
        t = gap / error if error else 0.0
        row |= {
            "gain": gap / level if level else math.nan,
            "error": error / level if level else math.nan,
        }
        row["t"] = t
        row["p"] = math.erfc(abs(t) / math.sqrt(2))
    return row


def _competitors(lists: Lists, seed: int) -> NDArray[np.int64]:
    """Slots of each list, int64 ``[E, D]``: the target's, then all, or :data:`COMPETITORS` that were drawn."""
    width = lists.filled.shape[1]
    if width <= COMPETITORS:
        rest = np.broadcast_to(np.arange(width), lists.filled.shape)
    else:
        rng = np.random.default_rng([seed, 0xC0])
        # Slots follow one another from a random start in a random order, so that none occurs twice.
        order = rng.permutation(width)
        start = rng.integers(0, width, len(lists))
        rest = order[(start[:, None] + np.arange(COMPETITORS)) % width]
    return np.concatenate([lists.target[:, None], rest], 1)


def _mean(values: NDArray[np.float32], filled: NDArray[np.bool_]) -> float:
    return float(np.where(filled, values, 0).sum(dtype=np.float64) / filled.sum())


def _spread(values: NDArray[np.float32], filled: NDArray[np.bool_], mean: float) -> float:
    away = np.where(filled, values - np.float32(mean), 0)
    return float(np.sqrt(np.square(away).sum(dtype=np.float64) / filled.sum())) or 1.0
