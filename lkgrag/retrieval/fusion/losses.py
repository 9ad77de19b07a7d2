"""The loss that fusion's weights are fitted with, and its gradient, compiled by numba.

A fit asks for it some hundred times over a million candidates. One pass over them takes a fifth of NumPy's time,
which writes every step out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.utils.jit import JIT, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.corners import CornerWeights
    from lkgrag.retrieval.fusion.pools import Pools


@dataclass(frozen=True)
class PoolLosses:
    """Cross-entropies of targets among their pools, by weights at four corners.

    Attributes:
        features: float32 ``[N, S]``, of the pools' items, pool after pool.
        commonness: float64 ``[N]``, from 0 for a rare item to 1.
        maturity: float64 ``[E]``, from 0 for a short history to 1.
        start: int64 ``[E]``, where each pool begins; none is empty.
        target: int64 ``[E]``, row of each pool's target.
    """

    features: NDArray[np.float32]
    commonness: NDArray[np.float64]
    maturity: NDArray[np.float64]
    start: NDArray[np.int64]
    target: NDArray[np.int64]

    @classmethod
    def of(cls, pools: Pools, features: NDArray[np.float32], ends: CornerWeights) -> PoolLosses:
        """The losses of some pools.

        Args:
            pools: the events.
            features: of the pools, in units of the fit.
            ends: say which counts and lengths the corners lie at; its weights are not read.
        """
        return cls(
            np.ascontiguousarray(features, np.float32),
            ends.commonness(pools.count),
            ends.maturity(pools.length),
            pools.start,
            pools.target,
        )

    def __call__(
        self, table: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and gradient.

        Args:
            table: float64 ``[S, 4]``, a weight of each system at the corners (rare, short), (rare, long),
                (common, short) and (common, long).

        Returns:
            Losses in nats, float64 ``[E]``, and the gradient of their sum, float64 ``[S, 4]``.
        """
        losses, slope = np.zeros(len(self.start)), np.zeros(table.shape)
        run = _run if JIT else _run_by_numpy
        ends = np.append(self.start, len(self.features))
        run(
            self.features,
            self.commonness,
            self.maturity,
            ends,
            self.target,
            np.ascontiguousarray(table, np.float64),
            losses,
            slope,
        )
        return losses, slope


@compiled(cache=True, nogil=True)
def _run(features, commonness, maturity, ends, target, table, losses, slope):  # type: ignore[no-untyped-def]
    systems = features.shape[1]
    size = 0
    for pool in range(len(losses)):
        size = max(size, ends[pool + 1] - ends[pool])
    chance = np.empty(size)
    rare, rise = np.empty(systems), np.empty(systems)
    gain, common_gain = np.empty(systems), np.empty(systems)
    for pool in range(len(losses)):
        first, end, long = ends[pool], ends[pool + 1], maturity[pool]
        for s in range(systems):
            rare[s] = table[s, 0] + long * (table[s, 1] - table[s, 0])
            rise[s] = table[s, 2] + long * (table[s, 3] - table[s, 2]) - rare[s]
            gain[s] = 0.0
            common_gain[s] = 0.0
        peak = -np.inf
        for row in range(first, end):
            score = 0.0
            for s in range(systems):
                score += features[row, s] * (rare[s] + commonness[row] * rise[s])
            chance[row - first] = score
            peak = max(peak, score)
        mine, total = chance[target[pool] - first], 0.0
        for place in range(end - first):
            chance[place] = np.exp(chance[place] - peak)
            total += chance[place]
        losses[pool] = peak + np.log(total) - mine
        for row in range(first, end):
            share = chance[row - first] / total
            if row == target[pool]:
                share -= 1.0
            for s in range(systems):
                value = share * features[row, s]
                gain[s] += value
                common_gain[s] += commonness[row] * value
        for s in range(systems):
            slope[s, 0] += (1.0 - long) * (gain[s] - common_gain[s])
            slope[s, 1] += long * (gain[s] - common_gain[s])
            slope[s, 2] += (1.0 - long) * common_gain[s]
            slope[s, 3] += long * common_gain[s]


def _run_by_numpy(  # type: ignore[no-untyped-def]
    features, commonness, maturity, ends, target, table, losses, slope
):
    start, size = ends[:-1], np.diff(ends)
    long = np.repeat(maturity, size)
    shares = np.stack(
        [
            (1 - commonness) * (1 - long),
            (1 - commonness) * long,
            commonness * (1 - long),
            commonness * long,
        ],
        1,
    )
    score = ((features @ table) * shares).sum(1)
    peak = np.maximum.reduceat(score, start)
    chance = np.exp(score - np.repeat(peak, size))
    total = np.add.reduceat(chance, start)
    losses[:] = peak + np.log(total) - score[target]
    chance /= np.repeat(total, size)
    chance[target] -= 1.0
    slope[:] = features.T @ (shares * chance[:, None])
