r"""Graph counts: what the relations of the knowledge graph say about an item, given the history.

Each relation ``r`` counts :math:`c_r(j) = \sum_h d^{age(h)} A_r(h, j)`. For a relation between items,
:math:`A_r` is the weight of the edge. For a relation to values it is :math:`\sum_v 1 / \log(e + deg(v))` over the
values ``v`` that both items share. Relations between items are counted with recency decay. Every relation is
also counted without decay (``lasting``), for lasting taste.

The score is :math:`\sum_r w_r \log p_r(j)` with :math:`p_r` the shares of the counts. The item-item counts and
popularity are components too. Only the weights :math:`w \ge 0` are learned
(:mod:`lkgrag.retrieval.fusion.weights`), on events that no count has seen.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from lkgrag.errors import DataError
from lkgrag.retrieval.base import (
    BuiltInRetriever,
    log_shares,
    log_softmax,
    sparse_matrix,
    sparse_tensors,
)
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.products import HistoryWeights
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions

#: Components besides the relations.
COUNTS, POPULAR = "itemitem", "popularity"
#: Ending of the components that weigh all items of the history equally.
LASTING = " (lasting)"


class GraphRetriever(BuiltInRetriever):
    """Weighted evidence of the relations.

    Args:
        relations: by name, the factors of :math:`A_r`: one matrix ``[I, I]``, or two,
            ``[I, V]`` and ``[V, I]``.
        itemitem: a component.
        popularity: a component, and the answer to an empty history.
        decay: weight of a history item is ``decay ** age``.
        weights: by component; by default 1 for the item-item counts and 0 for all others.

    Attributes:
        components: names of all components.
        leaders: the components whose best items form the pools that weights are fitted on.
    """

    name = "graph_itemitem"
    is_always_fitted = True

    def __init__(
        self,
        relations: dict[str, list[sparse.csr_matrix]],
        itemitem: ItemItemRetriever,
        popularity: PopularityRetriever,
        decay: float,
        weights: dict[str, float] | None = None,
    ) -> None:
        self.relations = relations
        self.itemitem, self.popularity = itemitem, popularity
        self.decay = decay
        self.num_items = popularity.num_items
        direct = [name for name, factors in relations.items() if len(factors) == 1]
        self.leaders = [COUNTS, POPULAR, *direct]
        self.components = [*self.leaders, *(name + LASTING for name in relations)]
        self.weights = weights or {n: float(n == COUNTS) for n in self.components}

    @classmethod
    def options_of(cls, config: RetrievalConfig) -> dict[str, Any]:
        """``retrieval.decay``."""
        return {"decay": config.decay}

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData,
        device: torch.device | None = None,
        seed: int = 0,
        *,
        decay: float,
    ) -> GraphRetriever:
        """Count, and take the relations of the graph; ``device`` and ``seed`` are not needed."""
        itemitem = ItemItemRetriever.fit(interactions, decay=decay)
        popularity = PopularityRetriever.fit(interactions)
        return cls(relation_factors(data), itemitem, popularity, decay)

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> GraphRetriever:
        """Count anew, with the relations of the new graph; the learned weights stay."""
        grown = self.fit(interactions, data, decay=self.decay)
        if grown.components != self.components:
            raise DataError(
                "the graph's relations are others than those that the retriever graph_itemitem has weights of; train again"
            )
        return grown.reweighted(self.weights)

    def reweighted(self, weights: dict[str, float]) -> GraphRetriever:
        """The same counts with other weights."""
        return GraphRetriever(self.relations, self.itemitem, self.popularity, self.decay, weights)

    def features(
        self, histories: list[NDArray[np.int64]], only: set[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Log-probabilities of each component.

        Args:
            histories: ``B`` arrays of item indices, oldest first.
            only: names of components (default: all).

        Returns:
            float32 ``[B, I]`` by name, in the order of :attr:`components`.
        """
        wanted = [n for n in self.components if only is None or n in only]
        latest = HistoryWeights.of(histories, self.decay, self.num_items)
        whole = HistoryWeights.of(histories, 1.0, self.num_items)
        # All counts in one block, since a call of NumPy takes as long as the row of one history.
        counted = [name for name in wanted if name != POPULAR]
        counts = np.zeros((len(counted), len(histories), self.num_items), np.float32)
        for name, block in zip(counted, counts, strict=True):
            weights = whole if name.endswith(LASTING) else latest
            weights.add_times(self._factors(name), block)
        shares = log_shares(counts.reshape(-1, self.num_items)).reshape(counts.shape)
        out = dict(zip(counted, shares, strict=True))
        if POPULAR in wanted:
            out[POPULAR] = self.popularity.evidence(histories)
        return {name: out[name] for name in wanted}

    def _factors(self, component: str) -> list[sparse.csr_matrix]:
        """The matrices that a component's counts are products with."""
        if component == COUNTS:
            return [self.itemitem.weight]
        return self.relations[component.removesuffix(LASTING)]

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The weighted sum of the components; popularity's evidence for an empty history."""
        total = np.zeros((len(histories), self.num_items), np.float32)
        used = {name for name, weight in self.weights.items() if weight > 0}
        for name, feature in self.features(histories, used).items():
            total += np.float32(self.weights[name]) * feature
        empty = np.array([len(h) == 0 for h in histories], bool)
        if empty.any():
            total[empty] = self.popularity.evidence([np.zeros(0, np.int64)])
        return total

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Log-softmax of the scores."""
        return log_softmax(self.score(histories))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``graph.safetensors``, ``graph.json`` and the two count systems."""
        tensors = {}
        for number, factors in enumerate(self.relations.values()):
            for place, factor in enumerate(factors):
                for key, tensor in sparse_tensors(factor).items():
                    tensors[f"{number}.{place}.{key}"] = tensor
        write_safetensors(Path(folder) / "graph.safetensors", tensors)
        meta = {
            "relations": {name: len(f) for name, f in self.relations.items()},
            "weights": self.weights,
            "decay": self.decay,
        }
        write_json(Path(folder) / "graph.json", meta)
        self.itemitem.save(folder)
        self.popularity.save(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> GraphRetriever:
        """Read the counts and weights.

        Raises:
            LkgragError: a file is missing or broken.
        """
        meta = read_json(Path(folder) / "graph.json")
        tensors = read_safetensors(Path(folder) / "graph.safetensors")
        relations = {}
        for number, (name, places) in enumerate(meta["relations"].items()):
            relations[name] = [
                sparse_matrix(
                    {
                        key: tensors[f"{number}.{place}.{key}"]
                        for key in ("data", "indices", "indptr", "shape")
                    }
                )
                for place in range(places)
            ]
        itemitem, popularity = ItemItemRetriever.load(folder), PopularityRetriever.load(folder)
        return cls(relations, itemitem, popularity, meta["decay"], meta["weights"])


def relation_factors(data: HeteroData) -> dict[str, list[sparse.csr_matrix]]:
    """Factors of every relation between items, and of every relation from items to values.

    Relations between items count in the direction of the edge; an inverse is another relation. Times of edges
    are not looked at, and weights of edges to values do not count.

    Args:
        data: the graph; relations of and to users are left out.

    Returns:
        By label, one matrix ``[I, I]`` or two, ``[I, V]`` and ``[V, I]``, float32. The label is the relation's
        name; where another node type has a relation of that name, the node type follows it.
    """
    num_items = int(data["item"].num_nodes)
    out: dict[str, list[sparse.csr_matrix]] = {}
    for edge_type in data.edge_types:
        source, _, target = edge_type
        if source != "item" or target == "user":
            continue
        if target == "item":
            out[_label(out, edge_type)] = [_adjacency(data, edge_type, num_items)]
            continue
        matrix = _adjacency(data, edge_type, num_items)
        degree = np.asarray(matrix.sum(0)).ravel()
        rarity = sparse.diags_array(1.0 / np.log(np.e + degree))
        back = sparse.csr_matrix(rarity @ matrix.T).astype(np.float32)
        out[_label(out, edge_type)] = [matrix, back]
    return out


def _label(taken: dict[str, list[sparse.csr_matrix]], edge_type: EdgeType) -> str:
    return edge_type[1] if edge_type[1] not in taken else f"{edge_type[1]} {edge_type[2]}"


def _adjacency(data: HeteroData, edge_type: EdgeType, num_items: int) -> sparse.csr_matrix:
    """Edge weights (1 where there are none), float32 ``[I, nodes of the target type]``."""
    store = data[edge_type]
    row, col = store.edge_index.cpu().numpy()
    weight = store.weight.cpu().numpy() if "weight" in store else np.ones(len(row))
    if edge_type[2] != "item":
        weight = np.ones(len(row))
    shape = (num_items, int(data[edge_type[2]].num_nodes))
    matrix = sparse.csr_matrix((weight.astype(np.float32), (row, col)), shape=shape)
    matrix.sum_duplicates()
    return matrix
