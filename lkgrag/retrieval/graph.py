r"""Graph counts: what the relations of the knowledge graph say of an item, given the history.

For every relation ``r`` between items, and every pair "item, value, item" of a relation to values,
:math:`c_r(j) = \sum_h d^{age(h)} A_r(h, j)` with :math:`A_r` the edge's weight, or
:math:`\sum_v 1 / \log(e + deg(v))` over shared values ``v``. Each row is made a distribution over the
items that the history does not hold, and the score is the logarithm of a mixture
:math:`\log \sum_r \pi_r p_r(j)`, of which the item-item counts, popularity and a uniform share are
components too. The few weights :math:`\pi` are the only thing learned, by EM on events that no count
has seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.io import read_json, read_safetensors, write_json, write_safetensors
from lkgrag.retrieval.base import (
    Retriever,
    recency,
    rows_per_block,
    sparse_matrix,
    sparse_tensors,
)
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.popularity import PopularityRetriever

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

#: Pseudo-events of the Dirichlet prior in all, spread evenly: it keeps weights off the border.
PRIOR_EVENTS = 20.0
#: Most rounds of EM, and the change of the weights that ends it.
EM_ROUNDS, EM_TOLERANCE = 500, 1e-7
#: Components beside the relations.
COUNTS, POPULAR, ANYTHING = "itemitem", "popularity", "uniform"


class GraphRetriever(Retriever):
    """A mixture of relations' counts.

    Args:
        relations: by name, the factors of :math:`A_r`: one matrix ``[I, I]``, or two,
            ``[I, V]`` and ``[V, I]``.
        itemitem: the counts that are a component.
        popularity: likewise.
        decay: weight of a history item is ``decay ** age``.
        weights: share of each component; even by default.
    """

    name = "graph_itemitem"

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
        self.components = [*relations, COUNTS, POPULAR, ANYTHING]
        even = 1.0 / len(self.components)
        self.weights = weights or dict.fromkeys(self.components, even)

    @classmethod
    def fit(
        cls,
        data: HeteroData,
        itemitem: ItemItemRetriever,
        popularity: PopularityRetriever,
        decay: float,
    ) -> GraphRetriever:
        """Take the relations from a graph that was built on the same training interactions."""
        return cls(relation_factors(data), itemitem, popularity, decay)

    def reweighted(self, weights: dict[str, float]) -> GraphRetriever:
        """The same counts with other weights."""
        return GraphRetriever(self.relations, self.itemitem, self.popularity, self.decay, weights)

    def distributions(
        self, histories: list[NDArray[np.int64]], only: set[str] | None = None
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Each component's distribution over items, float32 ``[B, I]``, rows summing to 1 or 0."""
        weight = recency(histories, self.decay, self.num_items)
        seen = (
            np.repeat(np.arange(len(histories)), [len(h) for h in histories]),
            np.concatenate([np.zeros(0, np.int64), *histories]),
        )
        for name in self.components:
            if only is not None and name not in only:
                continue
            if name == COUNTS:
                counts = self.itemitem.score(histories)
            elif name == POPULAR:
                counts = self.popularity.score(histories)
            elif name == ANYTHING:
                counts = np.ones((len(histories), self.num_items), np.float32)
            else:
                product = weight
                for factor in self.relations[name]:
                    product = product @ factor
                counts = product.toarray()
            left = counts.copy()
            left[seen] = 0.0
            total = left.sum(1, keepdims=True)
            scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
            yield name, counts * scale

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Log of the mixture; for an empty history that of popularity."""
        total = np.zeros((len(histories), self.num_items), np.float32)
        used = {name for name, weight in self.weights.items() if weight > 0}
        for name, share in self.distributions(histories, used):
            total += np.float32(self.weights[name]) * share
        return np.log(np.maximum(total, np.finfo(np.float32).tiny))

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The scores are log-probabilities."""
        return self.score(histories)

    def target_shares(
        self, histories: list[NDArray[np.int64]], target: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Each component's probability of the target, float64 ``[E, components]``."""
        out = np.zeros((len(target), len(self.components)))
        step = rows_per_block(self.num_items)
        for start in range(0, len(target), step):
            part = slice(start, start + step)
            rows = np.arange(len(target[part]))
            for column, (_, share) in enumerate(self.distributions(histories[part])):
                out[part, column] = share[rows, target[part]]
        return out

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


def fit_mixture(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mixture weights that make the targets likely, by EM under a Dirichlet prior.

    Args:
        shares: ``[E, components]``, each component's probability of each event's target.

    Returns:
        float64 ``[components]``, summing to 1.
    """
    count = shares.shape[1]
    prior = PRIOR_EVENTS / count
    weights = np.full(count, 1.0 / count)
    for _ in range(EM_ROUNDS):
        joint = shares * weights
        total = joint.sum(1, keepdims=True)
        expected = (joint / np.where(total > 0, total, 1.0)).sum(0) + prior
        renewed = expected / expected.sum()
        change = np.abs(renewed - weights).max()
        weights = renewed
        if change < EM_TOLERANCE:
            break
    return weights


def relation_factors(data: HeteroData) -> dict[str, list[sparse.csr_matrix]]:
    """Factors of every relation between items and of every value that items share.

    Relations between items count in the direction of the edge; their inverses are relations of
    their own.
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
