r"""The unchanged choice of paths of the published LlamaRec-LKG-RAG (arXiv 2506.07449, and its code).

Every history item has one shortest path to each candidate. The prompt words one path of each candidate: the
one with the highest product of user preference and TF-IDF of its relations. In the published code no loss
reaches the preference; here the configuration decides it (see the preset ``reference``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lkgrag.kg.naming import REVERSE
from lkgrag.scorer.base import (
    PathScorer,
    PathScores,
    candidate_from_salience,
    extended_table,
)

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch


class PublishedPreference(PathScorer):
    r"""Salience of a path: user preference times the softmax of its relations' TF-IDF.

    .. math::
        s_p = \sum_r \mathrm{softmax}(W \,\mathrm{LN}(e_u) + b)_r \cdot
        \mathrm{softmax}_r\!\left(\mathrm{tf}_{p, r}
        \left(\ln \frac{N_h}{1 + n_{h, r}} + 1\right)\right)

    The classes :math:`r` are the relations that lead from an item. The inverse of a relation belongs to no
    class. :math:`\mathrm{tf}_{p, r}` is the share of :math:`r` among the path's relations. :math:`N_h` is the
    number of paths of the prompt from the history item :math:`h`, and :math:`n_{h, r}` is how often :math:`r`
    occurs on them. An unknown user has the mean embedding.

    Args:
        metadata: see :class:`PathScorer`.
        num_nodes: see :class:`PathScorer`; if the graph has no users, all of them are unknown.
        metapaths: see :class:`PathScorer`; they are not used, as each batch has its own.
        dim: width of the user embedding, 128 for MovieLens and 512 for Beauty as published.
        dropout: on the user embedding, in training.
    """

    open_metapaths = True

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
        dim: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(metadata, num_nodes, metapaths)
        names = [e[1] for e in metadata[1] if e[0] == "item" and not e[1].startswith(REVERSE)]
        self.relations = list(dict.fromkeys(names))
        self.user = nn.Embedding(max(1, self.num_nodes.get("user", 0)), dim)
        nn.init.xavier_uniform_(self.user.weight)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.preference = nn.Linear(dim, max(1, len(self.relations)))

    def extend(self, num_nodes: dict[NodeType, int]) -> None:
        """New users get the mean embedding, which unknown users have; see :meth:`PathScorer.extend`."""
        super().extend(num_nodes)
        if "user" in num_nodes:
            self.user = extended_table(self.user, num_nodes["user"])

    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores:
        """Score the paths of a batch of prompts; see :meth:`PathScorer.forward`."""
        is_known = (paths.user >= 0) & (paths.user < self.user.num_embeddings)
        embedded = self.user(paths.user.where(is_known, 0))
        embedded = torch.where(is_known[:, None], embedded, self.user.weight.mean(0))
        preference = self.preference(self.dropout(self.norm(embedded))).softmax(1)
        salience = (preference[paths.sample] * self.tfidf(paths)).sum(1)
        return PathScores(salience, candidate_from_salience(salience, paths))

    def tfidf(self, paths: PathBatch) -> Tensor:
        """Compute the softmax of each path's TF-IDF over the classes, ``[P, R]``."""
        device = paths.sample.device
        table = torch.zeros(len(paths.metapaths), max(1, len(self.relations)))
        index = {name: column for column, name in enumerate(self.relations)}
        for row, metapath in enumerate(paths.metapaths):
            for _, relation, _ in metapath:
                if relation in index:
                    table[row, index[relation]] += 1
        count = table.to(device)[paths.metapath]
        group = paths.sample * paths.history_items.shape[1] + paths.history
        size = paths.num_prompts * paths.history_items.shape[1]
        number = torch.bincount(group, minlength=size).to(count)
        occurs = count.new_zeros(size, count.shape[1]).index_add_(0, group, count)
        idf = torch.log(number[:, None].clamp(min=1) / (occurs + 1)) + 1
        # A path without any of the classes has a count of 0.
        tf = count / count.sum(1, keepdim=True).clamp(min=1)
        return (tf * idf[group]).softmax(1)
