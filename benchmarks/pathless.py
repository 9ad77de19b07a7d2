"""A stage two without paths, for comparison: what learning from the cross-fitted lists alone is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lkgrag.scorer import PathScorer, PathScores
from lkgrag.scorer.features import PerGraph, log_degrees, rating_deviation, standardised

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch

#: An item of the history weighs half as much when it is so many items older.
HALF_LIFE = 5.0
WIDTH, DROPOUT = 32, 0.1


class Pathless(PathScorer):
    """Scores candidates by what the default scorer knows of items and history but paths, and by the prior.

    That is the candidate's degrees in every relation, and the same of the history, recent items first, once
    plain and once weighted by the ratings; and, more than the default scorer reads, the prior with its rank.

    Args:
        metadata: see :class:`~lkgrag.scorer.PathScorer`.
        num_nodes: see there.
        metapaths: see there; not used.
    """

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
    ) -> None:
        super().__init__(metadata, num_nodes, metapaths)
        outgoing = [e for e in metadata[1] if e[0] == "item"]
        self._profile = PerGraph(lambda data: standardised(log_degrees(data, outgoing, 0)).T)
        out = nn.Linear(WIDTH, 1)
        with torch.no_grad():
            out.weight.mul_(0.1)
        first = nn.Linear(4 * len(outgoing) + 3, WIDTH)
        self.layers = nn.Sequential(first, nn.Tanh(), nn.Dropout(DROPOUT), out)

    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores:
        """Score the candidates ``[B, C]``; no path has any salience."""
        profile = self._profile(data)
        candidate = profile[paths.candidate_items.clamp(min=0)]
        plain, rated = self._history(profile, paths)
        mask = paths.candidate_mask
        prior = paths.prior.masked_fill(~mask, 0.0)
        place = torch.arange(prior.shape[1], device=prior.device).to(prior).expand_as(prior)
        length = (paths.history_items >= 0).sum(1, keepdim=True).to(prior).log1p()
        parts = [
            candidate,
            plain[:, None].expand_as(candidate),
            rated[:, None].expand_as(candidate),
            candidate * plain[:, None],
            torch.stack([prior, place.log1p(), length.expand_as(prior)], 2),
        ]
        score = self.layers(torch.cat(parts, 2)).squeeze(2)
        return PathScores(score.new_zeros(len(paths)), score)

    def _history(self, profile: Tensor, paths: PathBatch) -> tuple[Tensor, Tensor]:
        """The histories' profiles ``[B, E]``, plain and weighted by the ratings' deviation."""
        deviation, _ = rating_deviation(paths)
        weight = torch.exp2(-paths.history_age.clamp(min=0) / HALF_LIFE)
        weight = weight * (paths.history_items >= 0)
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        items = profile[paths.history_items.clamp(min=0)]
        return (weight[..., None] * items).sum(1), ((weight * deviation)[..., None] * items).sum(1)
