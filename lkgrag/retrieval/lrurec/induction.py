"""Vectors for items that LRURec was not trained on, from the vectors of their neighbours.

A new item has the mean vector of the known items around its first interactions in histories, nearer ones and rarer
ones first; without interactions, that of the items with like titles or other edges of the graph, and of the items that
share its values (brand, genre). It is the additive model of new words: Lazaridou and others, "Multimodal Word Meaning
Induction From Minimal Exposure to Natural Text" (Cognitive Science 41, 2017). Khodak and others, "A La Carte
Embedding" (ACL 2018, arXiv 1805.05388), map that mean by a regression on known words. Here such a map put new items too
high: on ml-100k with 15 % of the items hidden up to their last five interactions, it ranked new items among
themselves as well as the mean did (NDCG@10 .157 and .152), but cost known items half of theirs (.031 and .067).
Nothing that was trained changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.retrieval.itemitem import GAP, SHRINKAGE, WINDOW

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.data.interactions import Interactions

#: First interactions of an item that its context is made of.
FIRST = 10
#: Relations that histories make; they are in the first context.
BEHAVIOUR = ("followed_by", "rev_followed_by", "co_rated")


def induce(
    vectors: NDArray[np.float32],
    bias: NDArray[np.float32],
    interactions: Interactions,
    data: HeteroData,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors and biases of new items.

    Args:
        vectors: float32 ``[K, D]``, of the first ``K`` items.
        bias: float32 ``[K]``, of these.
        interactions: all sequences, of ``I`` items.
        data: their graph.

    Returns:
        Float32 ``[I - K, D]`` and ``[I - K]``. An item without any neighbour gets the mean of all known items.
    """
    known, number = len(vectors), interactions.num_items
    mean = vectors.mean(0) if known else np.zeros(vectors.shape[1], np.float32)
    centred = (vectors - mean).astype(np.float64)
    found = of_histories(centred, interactions)
    metadata = np.stack([of_edges(centred, data, number), of_values(centred, data, number)])
    parts = np.count_nonzero((metadata != 0).any(2, keepdims=True), axis=0)
    guess = metadata.sum(0) / np.maximum(parts, 1)
    contexts = np.where((found != 0).any(1, keepdims=True), found, guess)
    count = np.bincount(interactions.item, minlength=number)
    return (mean + contexts[known:]).astype(np.float32), _biases(bias, count)


def of_histories(vectors: NDArray[np.float64], interactions: Interactions) -> NDArray[np.float64]:
    """The mean of the known items around the first :data:`FIRST` interactions of each item, float64 ``[I, D]``.

    Nearer items count more, as in the item-item counts, and popular ones less; 0 where there is none.
    """
    item, user = interactions.item, interactions.user
    known, number = len(vectors), interactions.num_items
    place = _first_interactions(interactions)
    weight = (np.bincount(item, minlength=number) + SHRINKAGE) ** -0.5
    total = sparse.csr_matrix((number, known))
    for distance in (*range(-WINDOW, 0), *range(1, WINDOW + 1)):
        other = place + distance
        fits = (other >= 0) & (other < len(item))
        centre, other = place[fits], other[fits]
        fits = (user[centre] == user[other]) & (item[other] < known) & (item[centre] != item[other])
        centre, other = item[centre[fits]], item[other[fits]]
        value = GAP ** (abs(distance) - 1) * weight[other]
        total = total + sparse.csr_matrix((value, (centre, other)), shape=total.shape)
    return _means(total, vectors)


def _first_interactions(interactions: Interactions) -> NDArray[np.int64]:
    """The places of the first interactions of each item: by time, or without times by their place in histories."""
    item = interactions.item
    moment = np.where(np.isnan(interactions.time), interactions.position, interactions.time)
    order = np.lexsort((moment, item))
    first = np.flatnonzero(np.diff(item[order], prepend=-1))
    rank = np.arange(len(item)) - np.repeat(first, np.diff([*first, len(item)]))
    return np.sort(order[rank < FIRST])


def of_edges(vectors: NDArray[np.float64], data: HeteroData, number: int) -> NDArray[np.float64]:
    """The mean of the known items that edges between items lead to, other than histories make; ``[I, D]``."""
    total = sparse.csr_matrix((number, len(vectors)))
    for edge_type in data.edge_types:
        if edge_type[0] == edge_type[2] == "item" and edge_type[1] not in BEHAVIOUR:
            total = total + _known_edges(data, edge_type, total.shape)
    return _means(total, vectors)


def _known_edges(
    data: HeteroData, edge_type: EdgeType, shape: tuple[int, int]
) -> sparse.csr_matrix:
    store = data[edge_type]
    row, col = store.edge_index.cpu().numpy()
    weight = store.weight.cpu().numpy() if "weight" in store else np.ones(len(row))
    fits = col < shape[1]
    return sparse.csr_matrix((weight[fits].astype(float), (row[fits], col[fits])), shape=shape)


def of_values(vectors: NDArray[np.float64], data: HeteroData, number: int) -> NDArray[np.float64]:
    """The mean over an item's values of the mean of the other known items with the value, float64 ``[I, D]``.

    A value that few items share counts more, as in the graph's counts.
    """
    known, width = vectors.shape
    total, weights = np.zeros((number, width)), np.zeros(number)
    for source, relation, target in data.edge_types:
        if source != "item" or target in ("item", "user"):
            continue
        row, col = data[source, relation, target].edge_index.cpu().numpy()
        shape = (number, int(data[target].num_nodes))
        has = sparse.csr_matrix((np.ones(len(row)), (row, col)), shape=shape)
        sums = has[:known].T @ vectors
        count = np.asarray(has[:known].sum(0)).ravel()
        rarity = 1.0 / np.log(np.e + count)
        # Of a known item, the others with the value: without itself.
        own = (row < known).astype(float)
        others = count[col] - own
        fits = others > 0
        row, col, own, others = row[fits], col[fits], own[fits], others[fits]
        weight = sparse.csr_matrix((rarity[col] / others, (row, col)), shape=shape)
        itself = np.bincount(row, rarity[col] / others * own, number)
        total += weight @ sums
        total[:known] -= itself[:known, None] * vectors
        weights += np.bincount(row, rarity[col], number)
    return total / np.where(weights > 0, weights, 1.0)[:, None]


def _means(weights: sparse.csr_matrix, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means of vectors, a row each; 0 for a row without a weight."""
    total = np.asarray(weights.sum(1)).ravel()
    return np.asarray(weights @ vectors) / np.where(total > 0, total, 1.0)[:, None]


def _biases(bias: NDArray[np.float32], count: NDArray[np.int64]) -> NDArray[np.float32]:
    """Biases of new items: linear in the logarithm of their counts, as fitted on the known ones."""
    known = len(bias)
    log = np.log1p(count)
    if known < 2 or float(np.ptp(log[:known])) == 0:
        return np.full(len(count) - known, bias.mean() if known else 0.0, np.float32)
    slope, level = np.polyfit(log[:known], bias.astype(np.float64), 1)
    return (level + slope * log[known:]).astype(np.float32)
