"""The contract of a path scorer: the one address of a custom GNN.

A scorer sees the graph and the paths of a batch of prompts and says, for this user, how much every
path instance matters and how well the paths speak for every candidate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch


class PathScores(NamedTuple):
    """What a scorer returns; higher is better.

    Attributes:
        salience: shape ``[P]``, one value a path instance.
        candidate: shape ``[B, C]``, 0 for a candidate without a path.
    """

    salience: Tensor
    candidate: Tensor


class PathScorer(nn.Module, ABC):
    """Base class of path scorers.

    Args:
        metadata: node types and edge types of the graph, ``data.metadata()``.
        num_nodes: number of nodes of each type.
        metapaths: the meta-paths that ``PathBatch.metapath`` indexes, each a tuple of edge types.
        **kwargs: of the subclass, from ``scorer.kwargs``.

    Attributes:
        open_metapaths: whether ``forward`` reads the meta-paths off each batch, as it must with
            ``paths.search=shortest``, where the constructor is given none.
    """

    open_metapaths: bool = False

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
    ) -> None:
        super().__init__()
        self.metadata = metadata
        self.num_nodes = dict(num_nodes)
        self.metapaths = [tuple(m) for m in metapaths]

    @abstractmethod
    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores | Tensor:
        """Score the paths of a batch of prompts.

        Args:
            data: the graph, on the device of ``paths``.
            paths: ``P`` path instances of ``B`` prompts with ``C`` candidates each.

        Returns:
            :class:`PathScores`, or a plain salience of shape ``[P]``, from which the candidates'
            scores follow by log-sum-exp (:func:`candidate_from_salience`).
        """


def candidate_from_salience(salience: Tensor, paths: PathBatch) -> Tensor:
    r"""Pool path saliences to candidates by :math:`\log(1 + \sum_p e^{s_p})`.

    The 1 stands for "no path": a candidate without a path gets exactly 0, and one more path never
    lowers a score.

    Args:
        salience: shape ``[P]``.
        paths: the batch that the saliences belong to.

    Returns:
        Shape ``[B, C]``.
    """
    num_prompts, num_candidates = paths.candidate_items.shape
    slot = paths.sample * num_candidates + paths.candidate
    size = num_prompts * num_candidates
    # One extra zero logit a slot makes the sum 1 + ..., in a numerically safe form.
    peak = salience.new_zeros(size).scatter_reduce(0, slot, salience, "amax", include_self=True)
    peak = peak.detach()
    total = torch.exp(-peak).scatter_add(0, slot, torch.exp(salience - peak[slot]))
    return (peak + torch.log(total)).view(num_prompts, num_candidates)


def as_path_scores(out: PathScores | Tensor, paths: PathBatch) -> PathScores:
    """Accept either form of a scorer's output and check its shapes.

    Raises:
        ValueError: if a shape differs from the contract; the message names both shapes.
    """
    if isinstance(out, Tensor):
        out = PathScores(out, candidate_from_salience(out, paths) if out.dim() == 1 else out)
    salience, candidate = out
    if salience.shape != (len(paths),):
        raise ValueError(
            f"a scorer's salience must have shape [{len(paths)}], one value a path, "
            f"got {list(salience.shape)}"
        )
    if candidate.shape != paths.candidate_items.shape:
        raise ValueError(
            f"a scorer's candidate scores must have shape {list(paths.candidate_items.shape)}, "
            f"got {list(candidate.shape)}"
        )
    return PathScores(salience, candidate)


__all__ = ["PathScorer", "PathScores", "as_path_scores", "candidate_from_salience"]
