"""Bundles: all path instances of one candidate and one meta-path, worded and gated together."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from lkgrag.paths import PathBatch

#: Thresholds between the grades 0 to 9.
QUANTILES = np.arange(1, 10) / 10


@dataclass(frozen=True)
class Bundles:
    """The bundles of a batch, sorted by (slot, meta-path).

    Attributes:
        slot: int64 ``[N]``, ``sample * C + candidate``.
        metapath: int64 ``[N]``.
        strength: float64 ``[N]``, sum of ``weight * decay ** age`` over the instances.
        of_path: int64 ``[P]``, the bundle of each path.
        salience: float64 ``[N]``, log-sum-exp of the instances' saliences; None without a scorer.
    """

    slot: NDArray[np.int64]
    metapath: NDArray[np.int64]
    strength: NDArray[np.float64]
    of_path: NDArray[np.int64]
    salience: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Number of bundles."""
        return len(self.slot)


def bundle_paths(paths: PathBatch, decay: float, salience: Tensor | None = None) -> Bundles:
    """Group the paths of a batch.

    Args:
        paths: on the CPU.
        decay: a path counts ``decay ** age``, with the age of its history item in items.
        salience: ``[P]``, from the scorer.
    """
    num_metapaths = max(1, len(paths.metapaths))
    key = paths.slot.numpy() * num_metapaths + paths.metapath.numpy()
    unique, of_path = np.unique(key, return_inverse=True)
    age = paths.history_age[paths.sample, paths.history].numpy()
    value = paths.weight.numpy().astype(np.float64) * decay ** age.astype(np.float64)
    slot, metapath = np.divmod(unique, num_metapaths)
    pooled = None
    if salience is not None:
        index = torch.from_numpy(of_path)
        pooled = pool_salience(salience.detach().double(), index, len(unique)).numpy()
    strength = np.bincount(of_path, value, len(unique)).astype(np.float64)
    return Bundles(slot, metapath, strength, of_path, pooled)


def pool_salience(salience: Tensor, bundle: Tensor, num_bundles: int) -> Tensor:
    """The salience of each bundle: log-sum-exp of its paths' saliences.

    Args:
        salience: ``[E]``.
        bundle: int64 ``[E]``; every bundle has a path.
        num_bundles: number of bundles.

    Returns:
        ``[num_bundles]``, with a gradient to ``salience``.
    """
    low = salience.new_full((num_bundles,), -torch.inf)
    peak = low.scatter_reduce(0, bundle, salience.detach(), "amax")
    total = salience.new_zeros(num_bundles).scatter_add(
        0, bundle, torch.exp(salience - peak[bundle])
    )
    return peak + torch.log(total)


class Grades:
    """Grades 0 to 9: the tenth of its meta-path's bundles in which the strength of a bundle lies.

    Within minutes a small language model learns nothing from raw figures, but it learns from grades.

    Attributes:
        thresholds: float64 ``[num_metapaths, 9]``, rising; infinite for a meta-path without bundles.
    """

    def __init__(self, thresholds: NDArray[np.float64]) -> None:
        if thresholds.ndim != 2 or thresholds.shape[1] != len(QUANTILES):
            raise ValueError(f"thresholds must have shape [M, 9], got {list(thresholds.shape)}")
        self.thresholds = thresholds

    @classmethod
    def fit(cls, bundles: list[Bundles], num_metapaths: int) -> Grades:
        """Take the thresholds from the bundles of training queries."""
        metapath = np.concatenate([np.zeros(0, np.int64), *(b.metapath for b in bundles)])
        strength = np.concatenate([np.zeros(0), *(b.strength for b in bundles)])
        out = np.full((num_metapaths, len(QUANTILES)), np.inf)
        for m in np.unique(metapath):
            out[m] = np.quantile(strength[metapath == m], QUANTILES)
        return cls(out)

    def __call__(self, bundles: Bundles) -> NDArray[np.int64]:
        """The grade of each bundle, int64 ``[N]``."""
        rows = self.thresholds[bundles.metapath]
        value = bundles.strength[:, None]
        # A strength that many share gets the middle of the grades that it spans.
        return ((rows < value).sum(1) + (rows <= value).sum(1)) // 2


@dataclass(frozen=True)
class Choice:
    """Which bundles are worded.

    Attributes:
        index: int64 ``[K]``, rising.
        rank: int64 ``[K]``, 0 for a candidate's foremost bundle.
        key: float64 ``[K]``, what they were ranked by.
    """

    index: NDArray[np.int64]
    rank: NDArray[np.int64]
    key: NDArray[np.float64]


def draw_keys(paths: PathBatch, bundles: Bundles) -> NDArray[np.float64]:
    """A number in [0, 1) for each bundle, which follows from history, candidate and meta-path alone."""
    slots = paths.num_candidates
    sample, slot = np.divmod(bundles.slot, slots)
    history = np.array([zlib.crc32(h.tobytes()) for h in paths.history_items.numpy()], np.uint64)
    item = paths.candidate_items.numpy()[sample, slot].astype(np.uint64)
    mixed = history[sample] * np.uint64(0x9E3779B97F4A7C15) + item * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= bundles.metapath.astype(np.uint64) * np.uint64(0x94D049BB133111EB)
    # The finaliser of splitmix64 spreads every bit over all.
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


def rotate_slots(paths: PathBatch) -> NDArray[np.int64]:
    """For each prompt and candidate slot the slot that gets its words, int64 ``[B, C]``.

    The words of the filled slots rotate by a number that follows from the history, so that each slot gets
    another's.
    """
    filled = paths.candidate_items.numpy() >= 0
    out = np.tile(np.arange(filled.shape[1]), (len(filled), 1))
    for row, history in enumerate(paths.history_items.numpy()):
        slots = np.flatnonzero(filled[row])
        if len(slots) > 1:
            by = 1 + zlib.crc32(history.tobytes()) % (len(slots) - 1)
            out[row, slots] = np.roll(slots, -by)
    return out


def choose(
    bundles: Bundles,
    grades: NDArray[np.int64],
    limit: int,
    generator: torch.Generator | None = None,
    chance: NDArray[np.float64] | None = None,
) -> Choice:
    """Choose ``limit`` bundles of each candidate: the most salient, or without salience the strongest.

    Equal bundles are taken in the order of the meta-paths.

    Args:
        bundles: of a batch.
        grades: of the bundles, int64 ``[N]``; they decide where there is no salience.
        limit: most bundles a candidate.
        generator: where given, Gumbel noise is added to the salience, so that bundles are drawn
            without replacement with probability proportional to ``exp(salience)``.
        chance: float64 ``[N]``; where given, it decides alone.
    """
    if chance is not None:
        key = chance
    elif bundles.salience is not None:
        key = bundles.salience
        if generator is not None:
            uniform = torch.rand(len(bundles), generator=generator, dtype=torch.float64)
            key = key - np.log(-np.log(uniform.clamp(1e-12, 1 - 1e-12).numpy()))
    else:
        # The strength only decides among bundles of one grade.
        key = grades + bundles.strength / (1.0 + bundles.strength)
    order = np.lexsort((bundles.metapath, -key, bundles.slot))
    slot = bundles.slot[order]
    first = np.searchsorted(slot, slot, side="left")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - first
    index = np.flatnonzero(rank < limit)
    return Choice(index, rank[index], key[index])
