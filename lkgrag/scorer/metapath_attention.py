r"""The default scorer: attention over path instances and over meta-paths, for each user and candidate.

In HAN (Wang et al., 2019) the weights of meta-paths are the same for everyone. Here both attentions depend on
the user and the candidate. Let instance :math:`p` lead to candidate :math:`c` along meta-path :math:`m`. The
user's encoding :math:`u` pools the history, so that unknown users have one too:

.. math::
    e_{pk} &= b_{mk}(u) + \theta_{mk} \cdot x_p
        && \text{instance: strength, rarity, recency, rating} \\
    z_{cmk} &= \log(1 + \textstyle\sum_{p \in (c, m)} e^{e_{pk}}) && \text{a soft count} \\
    \alpha_{cm} &= M \cdot \mathrm{softmax}_m(k_m \cdot q(u, c)) && \text{attention over meta-paths} \\
    \mathrm{candidate}(c) &= \textstyle\sum_{mk} \alpha_{cm} \beta_{mk} z_{cmk} + g(v_c, u, c)
        && v_c: \text{pooled instances} \\
    \mathrm{salience}(p) &= \log \textstyle\sum_k \alpha_{cm} \beta_{mk} e^{e_{pk}}
        && \text{the instance's share}

There are two heads :math:`k`, one for short-term and one for long-term interest. :math:`\theta, b, \beta`
and :math:`k_m` are linear in :math:`r_m`, the mean of the embeddings of the meta-path's relations.
:math:`v_c` pools the instances by a softmax over the saliences of the candidate's paths. Before training, the
scorer is a recency-weighted sum of path weights, which already ranks.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.scorer.base import PathScorer, PathScores
from lkgrag.scorer.features import (
    PerGraph,
    log_degrees,
    rating_deviation,
    standardised,
)
from lkgrag.scorer.pooling import FEATURES, InstanceTerms, pool_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch

#: Before training, an instance counts half as much if its history item is older by this many items. The first
#: head is for short-term interest, the second for long-term interest.
HALF_LIVES = (2.0, 12.0)
HEADS = len(HALF_LIVES)
#: Before training, a path of weight 1 from the latest item adds about log(1 + 8) to its soft count.
SCALE = 8.0
#: Before training, every edge after the first one multiplies an instance's count by e ** -LENGTH.
LENGTH = 3.0


class MetapathAttention(PathScorer):
    """Attention over path instances and over meta-paths, for each user and candidate.

    There are no tables of users or items. So a new user with three interactions, or a new item with a few
    edges, is scored like any other.

    Args:
        metadata: see :class:`PathScorer`.
        num_nodes: see :class:`PathScorer`.
        metapaths: see :class:`PathScorer`.
        dim: width of the encodings.
        dropout: rate for the encodings of users and candidates, in training.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
        dim: int = 16,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(metadata, num_nodes, metapaths)
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.dim, self.dropout = dim, dropout
        self._index_metapaths()
        outgoing = [e for e in metadata[1] if e[0] == "item"]
        self._graph = PerGraph(
            partial(_graph_features, outgoing=outgoing, metapaths=self.metapaths)
        )
        self.relation = nn.Parameter(0.3 * torch.randn(len(self.relations), dim))
        self.item = nn.Linear(len(outgoing), dim)
        self.recency = nn.Parameter(torch.tensor(math.log(2) / HALF_LIVES[-1]))
        self.rating = nn.Parameter(0.1 * torch.randn(dim))
        self.user = nn.Linear(dim, dim)
        # Weights of an instance's features, and a bias, for each head; `feature` adds to them by meta-path.
        self.base = nn.Parameter(torch.zeros(HEADS, FEATURES + 1))
        self.length = nn.Parameter(torch.tensor(LENGTH))
        self.feature = nn.Linear(dim, HEADS * (FEATURES + 1), bias=False)
        self.taste = nn.Linear(dim, dim, bias=False)
        self.query = nn.Linear(2 * dim, dim)
        self.key = nn.Linear(dim, dim, bias=False)
        self.strength = nn.Linear(dim, HEADS)
        self.value = nn.Linear(FEATURES, dim, bias=False)
        self.mix = nn.Linear(3 * dim, dim)
        self.out = nn.Linear(dim, 1, bias=False)
        self.skip = nn.Linear(3 * dim, 1, bias=False)
        self._initialise()

    def with_relations(
        self, metapaths: list[tuple[EdgeType, ...]], embeddings: Mapping[EdgeType, Tensor]
    ) -> MetapathAttention:
        """Copy the scorer for a graph with relations that it was not trained on.

        All it learned stays as it is. A relation acts by its embedding alone, so that one for an unseen relation
        is all that paths along it need. The profiles of items are still made of the relations of the training.

        Args:
            metapaths: of the graph that is scored, those of the training and any others.
            embeddings: of each relation of ``metapaths`` that the scorer does not know, float ``[dim]``.

        Returns:
            The copy, in evaluation mode.

        Raises:
            ValueError: an unknown relation has no embedding, or one of another shape.
        """
        copy = type(self)(self.metadata, self.num_nodes, metapaths, self.dim, self.dropout)
        state = self.state_dict()
        known = {edge_type: row for row, edge_type in enumerate(self.relations)}
        rows = []
        for edge_type in copy.relations:
            if edge_type in known:
                rows.append(state["relation"][known[edge_type]])
                continue
            row = embeddings.get(edge_type)
            if row is None or row.shape != (self.dim,):
                raise ValueError(f"{edge_type} needs an embedding of shape [{self.dim}]")
            rows.append(row.detach().to(state["relation"]))
        copy.load_state_dict({**state, "relation": torch.stack(rows)})
        return copy.to(state["relation"].device).eval()

    def _index_metapaths(self) -> None:
        """Number the relations, and compute the share of each in every meta-path, ``[M, R]``."""
        self.relations = list(dict.fromkeys(e for m in self.metapaths for e in m))
        member = torch.zeros(len(self.metapaths), max(1, len(self.relations)))
        for row, metapath in enumerate(self.metapaths):
            for edge_type in metapath:
                member[row, self.relations.index(edge_type)] += 1.0 / len(metapath)
        self.relations = self.relations or [("item", "none", "item")]
        self.member: Tensor
        self.register_buffer("member", member, persistent=False)
        self.edges: Tensor
        edges = torch.tensor([len(m) - 1.0 for m in self.metapaths])
        self.register_buffer("edges", edges, persistent=False)

    def _initialise(self) -> None:
        """Start as a recency-weighted sum of path weights, with everything else small but not 0."""
        with torch.no_grad():
            self.base[:, 0] = 1.0
            self.base[:, 3] = -math.log(2) / torch.tensor(HALF_LIVES)
            self.base[:, FEATURES] = math.log(SCALE)
            # The softplus of this bias is 1 / HEADS.
            self.strength.bias.fill_(math.log(math.expm1(1 / HEADS)))
            for layer in (self.feature, self.taste, self.query, self.key, self.strength):
                layer.weight.mul_(0.1)
            for layer in (self.out, self.skip):
                layer.weight.mul_(0.1)

    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores:
        """Score the paths of a batch of prompts; see :meth:`PathScorer.forward`."""
        return self.score(data, paths)

    def score(self, data: HeteroData, paths: PathBatch, extra: Tensor | None = None) -> PathScores:
        """Score with something else that is known of each instance.

        Args:
            data: the graph.
            paths: the batch.
            extra: added to the energy of each instance, ``[P]``; nothing by default.
        """
        if not len(paths):
            zeros = paths.prior.new_zeros(paths.prior.shape)
            return PathScores(paths.weight.new_zeros(0), zeros)
        profile, source_degree, target_degree = self._graph(data)
        rating = rating_deviation(paths)
        chosen, candidate = self._encode_items(profile, paths)
        user = self._drop(self._encode_user(chosen, rating[0], paths))
        kind = self.member @ self.relation
        candidate = self._drop(candidate)
        share = self._metapath_attention(user, candidate, kind)
        # A share may be rounded to 0; its logarithm must not be minus infinity.
        logs = share.clamp(min=torch.finfo(share.dtype).tiny).log()
        weights = self._instance_weights(user, kind)
        terms = InstanceTerms(*weights, logs, source_degree, target_degree, *rating)
        salience, counts, features, kinds = pool_paths(terms, paths, extra)
        # Pooling is linear, so the features and the kinds are pooled before they are encoded.
        value = features @ self.value.weight.T + kinds @ kind
        evidence = value.view_as(candidate)
        has_paths = (counts > 0).flatten(2).any(2)
        context = torch.cat([evidence, user[:, None].expand_as(candidate), candidate], 2)
        extra = self.out(torch.tanh(self.mix(context))) + self.skip(context)
        score = (share * counts.log1p()).sum((2, 3)) + extra.squeeze(2) * has_paths
        return PathScores(salience, score)

    def _instance_weights(self, user: Tensor, kind: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the weights of an instance's features ``[M, HEADS, FEATURES]``, and a bias ``[B, M, HEADS]``."""
        theta = self.base + self.feature(kind).view(-1, HEADS, FEATURES + 1)
        bias = theta[..., FEATURES] - (self.length * self.edges)[:, None]
        bias = bias + (self.taste(user) @ kind.T)[..., None]
        return theta[..., :FEATURES], bias

    def _drop(self, encoding: Tensor) -> Tensor:
        return F.dropout(encoding, self.dropout, self.training)

    def _encode_items(self, profile: Tensor, paths: PathBatch) -> tuple[Tensor, Tensor]:
        """Encode the items of the histories, ``[B, H, dim]``, and the candidates, ``[B, C, dim]``."""
        index = paths.history_items.clamp(min=0), paths.candidate_items.clamp(min=0)
        if torch.is_grad_enabled():
            # The items of a batch overlap, so that all are encoded once.
            items = torch.tanh(self.item(profile))
            return F.embedding(index[0], items), F.embedding(index[1], items)
        return torch.tanh(self.item(profile[index[0]])), torch.tanh(self.item(profile[index[1]]))

    def _encode_user(self, chosen: Tensor, deviation: Tensor, paths: PathBatch) -> Tensor:
        """Pool the history, with more weight on recent items, ``[B, dim]``."""
        is_filled = paths.history_items >= 0
        age = paths.history_age.clamp(min=0)
        weight = (-self.recency * age).exp() * is_filled
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        seen = chosen + deviation[..., None] * self.rating
        return torch.tanh(self.user((weight[..., None] * seen).sum(1)))

    def _metapath_attention(self, user: Tensor, candidate: Tensor, kind: Tensor) -> Tensor:
        """Compute the weight of each meta-path for a user and a candidate, ``[B, C, M, HEADS]``."""
        both = torch.cat([user[:, None].expand_as(candidate), candidate], 2)
        logits = self.query(both) @ self.key(kind).T / math.sqrt(self.dim)
        strength = F.softplus(self.strength(kind)).clamp(min=1e-9)
        return len(self.metapaths) * logits.softmax(2)[..., None] * strength


def _graph_features(
    data: HeteroData, outgoing: list[EdgeType], metapaths: list[tuple[EdgeType, ...]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute for items the profile ``[I, E]``, and the degrees at both ends of each meta-path ``[M, I]``."""
    profile = standardised(log_degrees(data, outgoing, 0)).T
    source = standardised(log_degrees(data, [m[0] for m in metapaths], 0))
    target = standardised(log_degrees(data, [m[-1] for m in metapaths], 1))
    return profile.contiguous(), source, target
