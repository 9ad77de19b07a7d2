r"""Weights that depend on how much is known: on an item's training count and on the history's length.

A system has a weight at four corners: for a rare and for a common item, after a short and after a long history.
Between the corners a weight is bilinear in the logarithms of count and length. Beyond them it stays as it is, so a
new item has the weights of a rare one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CornerWeights:
    """Non-negative weights of systems, each given at four corners.

    Attributes:
        count: training interactions of a rare and of a common item.
        length: items of a short and of a long history.
        corners: by system, float64 ``[2, 2]``; the first axis is the count, the second the length.
    """

    count: tuple[float, float]
    length: tuple[float, float]
    corners: Mapping[str, NDArray[np.float64]]

    @classmethod
    def constant(cls, weights: Mapping[str, float]) -> CornerWeights:
        """Weights that depend on nothing."""
        corners = {name: np.full((2, 2), weight) for name, weight in weights.items()}
        return cls((1.0, 1.0), (1.0, 1.0), corners)

    @cached_property
    def is_constant(self) -> bool:
        """Whether all corners of each system are equal."""
        return all((w == w[0, 0]).all() for w in self.corners.values())

    @property
    def middle(self) -> dict[str, float]:
        """Weights half-way between all corners; 0 only where all corners are."""
        # In this order the mean of four equal numbers is that number.
        return {
            n: float((w[0, 0] + w[0, 1] + (w[1, 0] + w[1, 1])) / 4) for n, w in self.corners.items()
        }

    def commonness(self, count: NDArray[np.int64]) -> NDArray[np.float64]:
        """How common items are, from 0 for a rare one to 1; the shape of ``count``."""
        return _place(count, self.count)

    def maturity(self, length: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """How long histories are, from 0 for a short one to 1; float64 ``[B]``."""
        return _place(np.asarray(length, np.float64), self.length)

    def of_lengths(
        self, length: Sequence[int] | NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Each system's weight for a rare item, and how much greater that for a common one is.

        Args:
            length: of ``B`` histories.

        Returns:
            Two arrays, float32 ``[S, B, 1]``, systems in the order of :attr:`corners`.
        """
        short, long = self._table[..., :1], self._table[..., 1:]
        # [S, 2, B]
        weights = short + self.maturity(length) * (long - short)
        rare, more = weights[:, 0, :, None], np.diff(weights, axis=1)[:, 0, :, None]
        return rare.astype(np.float32), more.astype(np.float32)

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        """All corners, float64 ``[S, 2, 2]``."""
        return np.stack([*self.corners.values()])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        corners = {name: w.tolist() for name, w in self.corners.items()}
        return {"count": list(self.count), "length": list(self.length), "corners": corners}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CornerWeights:
        """What :meth:`to_dict` gave."""
        (rare, common), (short, long) = value["count"], value["length"]
        corners = {name: np.array(w, np.float64) for name, w in value["corners"].items()}
        return cls((rare, common), (short, long), corners)


def _place(
    values: NDArray[np.float64] | NDArray[np.int64], ends: tuple[float, float]
) -> NDArray[np.float64]:
    """Where values lie between two ends, by their logarithms; 0 or 1 beyond, 0 if the ends are equal."""
    low, high = np.log(ends)
    if high <= low:
        return np.zeros(np.shape(values))
    # A count of 0 is as one below the lower end.
    logs = np.log(np.maximum(values, min(ends)))
    return np.asarray(np.clip((logs - low) / (high - low), 0.0, 1.0))
