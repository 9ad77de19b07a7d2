r"""The preference of the published LlamaRec-LKG-RAG (arXiv 2506.07449), as a scorer that is trained.

There a user's embedding gives a softmax over relation classes. The salience of a path is this preference
times the TF-IDF of the path's relations in the user's paths. The published code turned the preference into
floats inside its data set, so that no loss reached it. Here it is a module that is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from torch import Tensor, nn
from torch_geometric.utils import degree

from lkgrag.kg.naming import base_name
from lkgrag.scorer.base import (
    PathScorer,
    PathScores,
    candidate_from_salience,
    extended_table,
)
from lkgrag.scorer.features import PerGraph

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch


class ReferencePreference(PathScorer):
    r"""Salience of a path: the mean over its relations of preference times TF-IDF.

    .. math::
        s_p = \frac{1}{|p|} \sum_{r \in p} R \cdot \mathrm{softmax}(W e_u + b)_r \cdot
        \mathrm{tfidf}_{u, r}

    The classes are relations without direction. The terms are the relations of the user's paths. The
    documents for the IDF are the items of the graph with the relations of their edges
    (``sklearn.feature_extraction.text.TfidfTransformer``). So the scores of a prompt do not depend on other
    prompts of the batch. With the factor :math:`R`, the number of classes, an even preference is 1. An
    unknown user has the mean embedding.

    Args:
        metadata: see :class:`PathScorer`.
        num_nodes: see :class:`PathScorer`; if the graph has no users, all of them are unknown.
        metapaths: see :class:`PathScorer`.
        dim: width of the user embedding.
    """

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
        dim: int = 32,
    ) -> None:
        super().__init__(metadata, num_nodes, metapaths)
        names = [base_name(e[1]) for m in self.metapaths for e in m]
        self.relations = list(dict.fromkeys(names))
        count = torch.zeros(len(self.metapaths), len(self.relations))
        for row, metapath in enumerate(self.metapaths):
            for edge_type in metapath:
                count[row, self.relations.index(base_name(edge_type[1]))] += 1
        self.occurrences: Tensor
        self.register_buffer("occurrences", count, persistent=False)
        self._idf = PerGraph(self._fit_idf)
        self.user = nn.Embedding(max(1, self.num_nodes.get("user", 0)), dim)
        self.preference = nn.Linear(dim, len(self.relations))

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
        logits = self.preference(embedded)
        preference = len(self.relations) * logits.softmax(1)
        value = preference * self.tfidf(data, paths)
        share = self.occurrences / self.occurrences.sum(1, keepdim=True)
        salience = (share[paths.metapath] * value[paths.sample]).sum(1)
        return PathScores(salience, candidate_from_salience(salience, paths))

    def tfidf(self, data: HeteroData, paths: PathBatch) -> Tensor:
        """Compute the TF-IDF of the relations in each prompt's paths, ``[B, R]``."""
        device = paths.sample.device
        if not self.relations or not len(paths):
            return torch.zeros(paths.num_prompts, len(self.relations), device=device)
        terms = torch.zeros(paths.num_prompts, len(self.relations), device=device)
        terms.index_add_(0, paths.sample, self.occurrences[paths.metapath])
        values = self._idf(data).transform(terms.cpu().numpy()).toarray()
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    def _fit_idf(self, data: HeteroData) -> TfidfTransformer:
        """The inverse document frequencies of a graph's relations."""
        return TfidfTransformer().fit(self._documents(data))

    def _documents(self, data: HeteroData) -> np.ndarray:
        """Count how often each item has each relation, ``[I, R]``."""
        items = int(data["item"].num_nodes or 0)
        counts = np.zeros((items, len(self.relations)))
        for edge_type in data.edge_types:
            name = base_name(edge_type[1])
            if edge_type[0] == "item" and name in self.relations:
                source = data[edge_type].edge_index[0]
                counts[:, self.relations.index(name)] += degree(source, items).cpu().numpy()
        return counts
