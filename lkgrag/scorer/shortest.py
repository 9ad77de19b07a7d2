"""A baseline scorer without parameters, which prefers shorter, then stronger paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lkgrag.scorer.base import PathScorer, PathScores, candidate_from_salience

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.paths import PathBatch

#: Smaller weights count as this one, so that the weight never outweighs an edge.
SMALLEST_WEIGHT = 1e-4


class Shortest(PathScorer):
    r"""Salience :math:`-\text{edges} + \log(w) / |\log w_{\min}|`, a baseline without parameters.

    The second term lies in :math:`[-1, 0]`, so a path with fewer edges always comes first. The scores of
    candidates follow by log-sum-exp.
    """

    open_metapaths = True

    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores:
        """Score the paths of a batch of prompts; see :meth:`PathScorer.forward`."""
        edges = torch.tensor([len(m) for m in paths.metapaths], device=paths.sample.device)
        least = torch.tensor(SMALLEST_WEIGHT, device=paths.sample.device)
        strength = paths.weight.clamp(min=SMALLEST_WEIGHT).log() / least.log().abs()
        salience = strength - edges[paths.metapath].to(strength)
        return PathScores(salience, candidate_from_salience(salience, paths))
