"""Beyond accuracy: coverage, diversity and popularity of the lists that users see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch_geometric.metrics import (
    LinkPredAveragePopularity,
    LinkPredCoverage,
    LinkPredDiversity,
    LinkPredPersonalization,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData


def top_lists(
    scores: NDArray[np.floating], candidate_items: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """The best ``k`` candidates of each list, best first; equals keep their order.

    Args:
        scores: ``[B, C]``; NaN is worst.
        candidate_items: int64 ``[B, C]``, -1 padding.
        k: length of the lists.

    Returns:
        int64 ``[B, min(k, C)]``, -1 where a list is shorter.
    """
    empty = candidate_items < 0
    value = np.where(np.isnan(scores), -np.inf, scores)
    # Empty slots come last even among candidates of minus infinity.
    order = np.lexsort((-value, empty), axis=1)[:, :k]
    return np.take_along_axis(candidate_items, order, 1)


def beyond_accuracy(
    lists: NDArray[np.int64], popularity: NDArray[np.int64], category: NDArray[np.int64] | None
) -> dict[str, float]:
    """Coverage, average popularity, personalization and diversity of top-k lists.

    Lists shorter than ``k`` are left out of all four, since the figures are defined for ``k`` items.

    Args:
        lists: int64 ``[B, k]``, items, -1 where a list is shorter.
        popularity: int64 ``[I]``, training interactions of each item.
        category: int64 ``[I]``, as of :func:`categories`; None leaves diversity out.

    Returns:
        ``coverage@k`` (share of all items that are in some list), ``popularity@k`` (mean over lists),
        ``personalization@k`` (how unlike the lists of two users are) and ``diversity@k`` (share of
        pairs of a list in different categories).
    """
    k = lists.shape[1]
    whole = torch.from_numpy(np.ascontiguousarray(lists[(lists >= 0).all(1)]))
    metrics = {
        f"coverage@{k}": LinkPredCoverage(k, num_dst_nodes=len(popularity)),
        f"popularity@{k}": LinkPredAveragePopularity(k, torch.from_numpy(popularity).double()),
        f"personalization@{k}": LinkPredPersonalization(k),
    }
    if category is not None and k > 1:
        metrics[f"diversity@{k}"] = LinkPredDiversity(k, torch.from_numpy(category))
    nobody: Tensor = torch.zeros(2, 0, dtype=torch.int64)
    out = {}
    for name, metric in metrics.items():
        if len(whole):
            metric.update(whole, nobody)
        out[name] = float(metric.compute())
    return out


def categories(data: HeteroData, relation: str) -> NDArray[np.int64]:
    """A category for each item: which set of values of a relation it has, int64 ``[I]``.

    Two items share a category if they have the same genres, say. Items without a value share none
    with any other.

    Raises:
        ValueError: the graph has no such relation from items to values.
    """
    edge_type = next((e for e in data.edge_types if e[0] == "item" and e[1] == relation), None)
    if edge_type is None:
        raise ValueError(f"no relation '{relation}' leads from items")
    item, value = data[edge_type].edge_index.cpu().numpy()
    sets: list[list[int]] = [[] for _ in range(int(data["item"].num_nodes))]
    for i, v in zip(item.tolist(), value.tolist(), strict=True):
        sets[i].append(v)
    # An item without a value is its own category, named by a number that no value has.
    keys = [tuple(sorted(s)) or (-1 - i,) for i, s in enumerate(sets)]
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.asarray([number[key] for key in keys], np.int64)
