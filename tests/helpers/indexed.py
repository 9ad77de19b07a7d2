"""A fused retriever of all systems that an index takes, with drawn weights."""

import numpy as np
import torch
from scipy import sparse

from lkgrag.retrieval import (
    FusedRetriever,
    GraphRetriever,
    ItemItemRetriever,
    LRURecRetriever,
    PopularityRetriever,
    TextRetriever,
)
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.retrieval.text.network import WIDTH, TextTowers
from lkgrag.text import Words


def fused(num_items=600, seed=0, by_count=True, mask_seen=True, new_items=0.3, leave_out=()):
    """The retriever: vectors in clusters, and few counts."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    cluster = rng.integers(0, 12, num_items)
    count = rng.zipf(1.6, num_items).clip(max=400) - 1
    popularity = PopularityRetriever(count.astype(np.int64))
    model = LRURec(num_items, 16, 1, 0.0).eval()
    with torch.no_grad():
        centres = torch.randn(12, 16)[torch.from_numpy(cluster)]
        model.embedding.weight[:num_items] = centres + 0.4 * torch.randn(num_items, 16)
        model.bias.copy_(torch.from_numpy(np.log1p(count)).float() / 4)
    towers = TextTowers(3, 0).eval()
    vectors = rng.normal(size=(12, WIDTH))[cluster] + 0.7 * rng.normal(size=(num_items, WIDTH))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    words = Words(["a", "b", "c"], np.ones(3, np.float32))
    itemitem = ItemItemRetriever(_few(rng, num_items, num_items, 6), 0.8)
    values = _few(rng, num_items, 80, 2)
    back = sparse.csr_matrix(values.T * 0.3).astype(np.float32)
    relations = {"also_bought": [_few(rng, num_items, num_items, 4)], "brand": [values, back]}
    graph = GraphRetriever(relations, itemitem, popularity, 0.8)
    weights = dict(zip(graph.components, [0.5, 0.3, 0.6, 0.0, 0.4], strict=True))
    systems = {
        "lrurec": LRURecRetriever(model, 20),
        "popularity": popularity,
        "itemitem": itemitem,
        "graph_itemitem": graph.reweighted(weights),
        "text": TextRetriever(towers, words, None, vectors),
    }
    systems = {name: s for name, s in systems.items() if name not in leave_out}
    corners = {n: rng.uniform(0.05, 0.6, (2, 2)) for n in systems}
    given = CornerWeights((1.0, 50.0), (2.0, 30.0), corners)
    if not by_count:
        given = CornerWeights.constant(given.middle)
    return FusedRetriever(systems, given, mask_seen, new_items=new_items)


def histories(num_items, number, seed=0, longest=40):
    """Drawn histories; the first is empty."""
    rng = np.random.default_rng([seed, 9])
    lengths = [0, *rng.integers(1, longest, number - 1)]
    return [rng.integers(0, num_items, length) for length in lengths]


def _few(rng, rows, columns, each):
    """A sparse matrix with some positive numbers a row."""
    place = np.repeat(np.arange(rows), each)
    value = rng.uniform(0.1, 1.0, len(place)).astype(np.float32)
    matrix = sparse.csr_matrix(
        (value, (place, rng.integers(0, columns, len(place)))), (rows, columns)
    )
    matrix.sum_duplicates()
    return matrix
