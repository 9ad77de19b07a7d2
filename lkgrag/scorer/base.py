"""The contract of a path scorer, which a custom GNN keeps to be used by the ranker.

A scorer sees the graph and the paths of a batch of prompts. For each prompt it rates how much every path
instance matters, and how strongly the paths support every candidate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from lkgrag.errors import ConfigError
from lkgrag.text.absence import advise_on_vectors
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import is_custom

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch


class PathScores(NamedTuple):
    """What a scorer returns; higher is better.

    Attributes:
        salience: shape ``[P]``, one value for each path instance.
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
        **kwargs: options of the subclass, from ``scorer.kwargs``.

    Attributes:
        open_metapaths: whether ``forward`` reads the meta-paths from each batch. This is necessary with
            ``paths.search=shortest``, where the constructor gets no meta-paths.
        takes_features: whether the constructor takes ``num_features``, the width of ``data[type].x`` by node type, as
            a text encoder gives it. It is empty without features.
    """

    open_metapaths: bool = False
    takes_features: bool = False

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

    def extend(self, num_nodes: dict[NodeType, int]) -> None:
        """Take over a graph with more nodes, in place: nodes of before keep their indices, and new ones follow.

        A saved ranker that is updated calls it on a copy. The types of nodes and edges and the meta-paths stay. A
        scorer whose parameters have a row for each node must give new nodes rows here, as
        :func:`extended_table` does; it is refused otherwise. Others need nothing.

        Args:
            num_nodes: number of nodes of each type now.
        """
        self.num_nodes = dict(num_nodes)

    @abstractmethod
    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores | Tensor:
        """Score the paths of a batch of prompts.

        Args:
            data: the graph, on the device of ``paths``.
            paths: ``P`` path instances of ``B`` prompts with ``C`` candidates each.

        Returns:
            :class:`PathScores`, or only a salience of shape ``[P]``. The candidates' scores then follow from
            it (:func:`candidate_from_salience`).
        """


def extended_table(table: nn.Embedding, rows: int) -> nn.Embedding:
    """A copy of a table with the mean of all rows for new ones.

    Args:
        table: with a row for each node of a type.
        rows: number of rows now.
    """
    weight = table.weight.detach()
    more = weight.mean(0).expand(max(0, rows - len(weight)), -1)
    grown = nn.Embedding(len(weight) + len(more), weight.shape[1])
    grown.weight = nn.Parameter(torch.cat([weight, more]), requires_grad=table.weight.requires_grad)
    return grown.to(weight.device)


def candidate_from_salience(salience: Tensor, paths: PathBatch) -> Tensor:
    r"""Pool the saliences of each candidate's paths by :math:`\log(1 + \sum_p e^{s_p})`.

    The 1 stands for "no path". So a candidate without a path gets exactly 0, and another path never lowers a
    score.

    Args:
        salience: shape ``[P]``.
        paths: the batch that the saliences belong to.

    Returns:
        Shape ``[B, C]``.
    """
    num_prompts, num_candidates = paths.candidate_items.shape
    slot = paths.sample * num_candidates + paths.candidate
    size = num_prompts * num_candidates
    # An extra zero logit in each slot gives the 1 of the sum, in a numerically safe form.
    peak = salience.new_zeros(size).scatter_reduce(0, slot, salience, "amax", include_self=True)
    peak = peak.detach()
    total = torch.exp(-peak).scatter_add(0, slot, torch.exp(salience - peak[slot]))
    return (peak + torch.log(total)).view(num_prompts, num_candidates)


def as_path_scores(out: PathScores | Tensor, paths: PathBatch) -> PathScores:
    """Accept either form of a scorer's output and check its shapes, types and device.

    Raises:
        ValueError: the output has neither form, or a shape, type or device differs from the contract. The message
            names what is expected and what was returned.
    """
    if isinstance(out, Tensor):
        _check_values("salience, one value a path,", out, (len(paths),), paths)
        out = PathScores(out, candidate_from_salience(out, paths))
    if not (
        isinstance(out, tuple | list) and len(out) == 2 and all(isinstance(x, Tensor) for x in out)
    ):
        raise ValueError(
            "a scorer must return PathScores with two tensors, or a tensor of saliences, "
            f"got {type(out).__name__}"
        )
    salience, candidate = out
    _check_values("salience, one value a path,", salience, (len(paths),), paths)
    _check_values("candidate scores", candidate, tuple(paths.candidate_items.shape), paths)
    return PathScores(salience, candidate)


def _check_values(what: str, value: Tensor, shape: tuple[int, ...], paths: PathBatch) -> None:
    if value.shape != shape:
        raise ValueError(
            f"a scorer's {what} must have shape {list(shape)}, got {list(value.shape)}"
        )
    is_small = value.is_floating_point() and value.element_size() < 2
    if value.dtype == torch.bool or value.is_complex() or is_small:
        kind = str(value.dtype).removeprefix("torch.")
        raise ValueError(f"a scorer's {what} must be floats of 16 bits or more, got {kind}")
    if value.layout != torch.strided:
        kind = str(value.layout).removeprefix("torch.")
        raise ValueError(f"a scorer's {what} must be a dense tensor, got {kind}: call to_dense()")
    if value.device != paths.sample.device:
        raise ValueError(
            f"a scorer's {what} must be on the device of the paths, {paths.sample.device}, got {value.device}"
        )


def score_paths(scorer: PathScorer, data: HeteroData, paths: PathBatch) -> PathScores:
    """Compute a scorer's scores.

    Raises:
        ConfigError: a custom scorer fails, or the output does not keep the contract; the message names its class.
    """

    def tell(error: BaseException) -> str:
        return (
            f"{option_of(scorer)}: its forward() fails ({type(error).__name__}: {error}); "
            + advise_on_vectors(error, data)
        )

    with guard_custom_code(tell) if is_custom(type(scorer)) else nullcontext():
        out = scorer(data, paths)
    try:
        return as_path_scores(out, paths)
    except ValueError as error:
        raise ConfigError(f"{option_of(scorer)}: {error}") from error


def check_finite(scorer: PathScorer, scores: PathScores, paths: PathBatch) -> None:
    """Refuse scores that are not finite; scores of empty slots may be anything.

    Raises:
        ConfigError: a salience or a candidate's score is NaN or infinite; the message names the class.
    """
    candidate = scores.candidate.masked_fill(~paths.candidate_mask, 0)
    # Both are tested at once, because each answer makes the program wait for the GPU.
    if not bool(scores.salience.isfinite().all() & candidate.isfinite().all()):
        raise ConfigError(
            f"{option_of(scorer)}: its scores contain NaN or infinite values; correct its forward(), or, if "
            "they appear during training, lower scorer.pretrain_lr and training.scorer_lr"
        )


def option_of(scorer: PathScorer) -> str:
    """Return the option that names a scorer's class, for messages."""
    cls = type(scorer)
    return f"scorer.name={cls.__module__}:{cls.__qualname__}"


__all__ = [
    "PathScorer",
    "PathScores",
    "as_path_scores",
    "candidate_from_salience",
    "check_finite",
    "extended_table",
    "option_of",
    "score_paths",
]
