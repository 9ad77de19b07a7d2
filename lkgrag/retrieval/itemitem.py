r"""Item-item counts of training histories, weighted by recency.

:math:`score(j) = \sum_h d^{age(h)} w(h, j)` with :math:`w(h, j) = n(h, j) (n_h + s)^{-a} (n_j + s)^{-b}`,
where :math:`n(h, j)` counts how often ``j`` comes after ``h`` within a window of a history. Near pairs count
more, and pairs in the other order half as much. Nothing is learned.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from lkgrag.retrieval.base import (
    BuiltInRetriever,
    log_shares,
    sequences_of,
    sparse_matrix,
    sparse_tensors,
)
from lkgrag.retrieval.products import HistoryWeights
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions

#: A pair counts up to this distance in the sequence, ``GAP ** (distance - 1)``.
WINDOW, GAP = 10, 0.85
#: Weight of "``j`` came before ``h``" relative to "after".
BACKWARD = 0.5
#: Exponents ``a`` and ``b`` of the two items' counts, and ``s`` added to the counts.
SOURCE_POWER, TARGET_POWER, SHRINKAGE = 0.5, 0.4, 5.0


class ItemItemRetriever(BuiltInRetriever):
    """Scores items by their weighted counts with the history.

    Args:
        weight: float32 ``[I, I]``, sparse, from history item to candidate.
        decay: weight of a history item is ``decay ** age``.
    """

    name = "itemitem"
    is_always_fitted = True

    def __init__(self, weight: sparse.csr_matrix, decay: float) -> None:
        self.weight = weight
        self.decay = decay
        self.num_items = weight.shape[0]

    @classmethod
    def options_of(cls, config: RetrievalConfig) -> dict[str, Any]:
        """``retrieval.decay``."""
        return {"decay": config.decay}

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
        *,
        decay: float,
    ) -> ItemItemRetriever:
        """Count over the training interactions; ``data``, ``device`` and ``seed`` are not needed."""
        sequences, num_items = sequences_of(interactions), interactions.num_items
        ahead = sequential_counts(sequences, num_items)
        counts = (ahead + BACKWARD * ahead.T).tocsr()
        degree = np.bincount(interactions.item, minlength=num_items) + SHRINKAGE
        source = sparse.diags_array(degree**-SOURCE_POWER)
        target = sparse.diags_array(degree**-TARGET_POWER)
        weight = sparse.csr_matrix(source @ counts @ target).astype(np.float32)
        weight.sort_indices()
        return cls(weight, decay)

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> ItemItemRetriever:
        """Count all interactions anew."""
        return self.fit(interactions, decay=self.decay)

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Sum over the history of recency times weight; 0 for items without a count."""
        return HistoryWeights.of(histories, self.decay, self.num_items).times([self.weight])

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logarithms of the counts' shares."""
        return log_shares(self.score(histories))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``itemitem.safetensors`` and ``itemitem.json``."""
        write_safetensors(Path(folder) / "itemitem.safetensors", sparse_tensors(self.weight))
        write_json(Path(folder) / "itemitem.json", {"decay": self.decay})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ItemItemRetriever:
        """Read the counts.

        Raises:
            LkgragError: a file is missing or broken.
        """
        tensors = read_safetensors(Path(folder) / "itemitem.safetensors")
        return cls(sparse_matrix(tensors), read_json(Path(folder) / "itemitem.json")["decay"])


def sequential_counts(sequences: list[NDArray[np.int64]], num_items: int) -> sparse.csr_matrix:
    """Count how often the second item comes after the first, ``GAP ** (distance - 1)`` each time.

    Args:
        sequences: the items of each user, oldest first.
        num_items: ``I``.

    Returns:
        float64 ``[I, I]``, sparse; an item that occurs again does not count with itself.
    """
    item = np.concatenate([np.zeros(0, np.int64), *sequences])
    user = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    total = sparse.csr_matrix((num_items, num_items))
    for distance in range(1, WINDOW + 1):
        pair = (user[distance:] == user[:-distance]) & (item[distance:] != item[:-distance])
        first, second = item[:-distance][pair], item[distance:][pair]
        value = np.full(len(first), GAP ** (distance - 1))
        total = total + sparse.csr_matrix((value, (first, second)), shape=total.shape)
    return total
