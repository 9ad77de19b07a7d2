r"""A neural Bellman-Ford network (Zhu et al., 2021) in its path formulation, on the paths between history and candidates.

"Neural Bellman-Ford Networks: A General Graph Neural Network Framework for Link Prediction", NeurIPS 2021, arXiv
2106.06935, represents a pair of nodes by a generalised sum over paths of generalised products over their edges. The
search has found the paths, so both are taken over its instances, and the iteration over the graph is not needed. The
products are DistMult's with positive factors, so they are sums of logarithms, and no vector of a node is learned:

.. math::
    e_p &= b + \theta \cdot x_p + \textstyle\sum_{r \in p} (W_r u + c_r)
        && \text{one value for each of } d \text{ channels} \\
    h_c &= \log(1 + \textstyle\sum_{p \to c} e^{e_p}) && \text{the 1 is the boundary: no path} \\
    \mathrm{candidate}(c) &= \beta \cdot h_c + g(h_c, u, c) \\
    \mathrm{salience}(p) &= \log \textstyle\sum_k \beta_k e^{e_{pk}}

:math:`u`, the query, pools the history. :math:`x_p` holds the path's weight, the degrees of its ends, and recency and
rating of the history item that it starts from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.scorer.base import PathScorer, PathScores
from lkgrag.scorer.features import PerGraph, rating_deviation, sum_by
from lkgrag.scorer.graph_evidence import KindsOf
from lkgrag.scorer.graph_nodes import degree_profile
from lkgrag.scorer.graph_options import Options, check_count, check_rate
from lkgrag.scorer.graph_structure import ITEM, item_degrees
from lkgrag.scorer.metapath_attention import HALF_LIVES, LENGTH, SCALE
from lkgrag.scorer.pooling import FEATURES, HIGHEST, instance_features

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch

#: Half-lives of the channels lie between these before training, in items.
CHANNELS = (HALF_LIVES[0] / 2, HALF_LIVES[-1] * 2)


@dataclass(frozen=True)
class NBFNetOptions(Options):
    """Options of :class:`NBFNet`; the paths give the number of its steps.

    Attributes:
        hidden: number of channels.
        dropout: rate for the encodings of users and candidates, in training.

    Raises:
        ValueError: an option has a wrong type or is out of range; the message names it.
    """

    hidden: int = 16
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Check the values."""
        check_count("hidden", self.hidden)
        check_rate("dropout", self.dropout)


class NBFNet(PathScorer):
    """The path formulation of a neural Bellman-Ford network; see the module.

    Args:
        metadata: see :class:`PathScorer`.
        num_nodes: see :class:`PathScorer`.
        metapaths: see :class:`PathScorer`; without any, each batch brings its own.
        **options: see :class:`NBFNetOptions`.

    Attributes:
        options_class: the options that ``scorer.kwargs`` may hold.

    Raises:
        ConfigError: there is no such option.
        ValueError: an option is out of range.
    """

    options_class = NBFNetOptions
    open_metapaths = True

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
        **options: Any,
    ) -> None:
        super().__init__(metadata, num_nodes, metapaths)
        self.options = self.options_class.of(type(self), options)
        hidden = self.options.hidden
        steps = {e for m in self.metapaths for e in m} if self.metapaths else set(metadata[1])
        relations = [e for e in metadata[1] if e in steps]
        outgoing = [e for e in metadata[1] if e[0] == ITEM]
        self.kinds_of = KindsOf(relations, metadata[0])
        self._degrees = PerGraph(partial(item_degrees, relations=relations))
        self._profile = PerGraph(partial(degree_profile, outgoing=outgoing))
        self.item = nn.Linear(len(outgoing), hidden)
        self.recency = nn.Parameter(torch.tensor(math.log(2) / HALF_LIVES[-1]))
        self.rating = nn.Parameter(0.1 * torch.randn(hidden))
        self.user = nn.Linear(hidden, hidden)
        self.factor = nn.Linear(hidden, max(1, len(relations)) * hidden)
        self.boundary = nn.Linear(FEATURES, hidden)
        self.strength = nn.Parameter(torch.full((hidden,), math.log(math.expm1(1 / hidden))))
        self.mix = nn.Linear(3 * hidden, hidden)
        self.out = nn.Linear(hidden, 1, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Start as soft counts of paths at several speeds of forgetting, with all else small but not 0."""
        least, most = CHANNELS
        with torch.no_grad():
            lives = torch.logspace(math.log10(least), math.log10(most), self.options.hidden)
            self.boundary.weight.mul_(0.1)
            self.boundary.weight[:, 0] += 1.0
            self.boundary.weight[:, 3] -= math.log(2) / lives
            # Every edge after the first one costs as much as in the default scorer.
            self.boundary.bias.fill_(math.log(SCALE) + LENGTH)
            self.factor.weight.mul_(0.1)
            self.factor.bias.mul_(0.1).sub_(LENGTH)
            self.out.weight.mul_(0.1)

    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores:
        """Score the paths of a batch of prompts; see :meth:`PathScorer.forward`."""
        if not len(paths):
            zeros = paths.prior.new_zeros(paths.prior.shape)
            return PathScores(paths.weight.new_zeros(0), zeros)
        kinds = self.kinds_of(paths.metapaths, paths.sample.device)
        rating = rating_deviation(paths)
        items = torch.tanh(self.item(self._profile(data)))
        candidate = self._drop(F.embedding(paths.candidate_items.clamp(min=0), items))
        user = self._drop(self._encode_user(items, rating[0], paths))
        energy = self._products(user, kinds.member * (kinds.edges + 1)[:, None], paths)
        degrees = self._degrees(data)
        ends = degrees[0][kinds.first], degrees[1][kinds.last]
        energy = energy + self.boundary(instance_features(ends, rating, paths))
        energy = energy.clamp(max=HIGHEST)
        strength = F.softplus(self.strength).clamp(min=1e-9)
        salience = (energy + strength.log()).logsumexp(1)
        total = sum_by(energy.exp(), paths.slot, paths.candidate_items.numel())
        found = total.log1p().view_as(candidate)
        has_paths = (total > 0).any(1).view(paths.candidate_items.shape)
        context = torch.cat([found, user[:, None].expand_as(candidate), candidate], 2)
        extra = self.out(torch.tanh(self.mix(context))).squeeze(2)
        return PathScores(salience, found @ strength + extra * has_paths)

    def _drop(self, encoding: Tensor) -> Tensor:
        return F.dropout(encoding, self.options.dropout, self.training)

    def _products(self, user: Tensor, steps: Tensor, paths: PathBatch) -> Tensor:
        """Logarithms of the products of the relations' factors along each path, ``[P, hidden]``.

        Args:
            user: the queries, ``[B, hidden]``.
            steps: how often each relation occurs in a meta-path, ``[M, R]``.
            paths: the batch.
        """
        factor = self.factor(user).view(len(user), -1, self.options.hidden)
        product = steps @ factor[:, : steps.shape[1]]
        place = paths.sample * len(steps) + paths.metapath
        return product.flatten(0, 1).index_select(0, place)

    def _encode_user(self, items: Tensor, deviation: Tensor, paths: PathBatch) -> Tensor:
        """Pool the history, with more weight on recent items, ``[B, hidden]``."""
        is_filled = paths.history_items >= 0
        age = paths.history_age.clamp(min=0)
        weight = (-self.recency * age).exp() * is_filled
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        chosen = F.embedding(paths.history_items.clamp(min=0), items)
        seen = chosen + deviation[..., None] * self.rating
        return torch.tanh(self.user((weight[..., None] * seen).sum(1)))
