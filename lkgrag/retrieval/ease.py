r"""EASE: a linear model of which items go together; the order of a history does not count.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (arXiv 1905.03375). With the users' items
:math:`X \in \{0, 1\}^{U \times I}`, :math:`P = (X^\top X + \lambda E)^{-1}` and a diagonal that must be 0,

.. math:: B = E - P \, \mathrm{diag}(P)^{-1}, \qquad score(j) = \sum_{h \in \text{history}} B_{hj}

EASE knows the lasting taste that LRURec and the decayed counts forget. It does not know what came last.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import DataError
from lkgrag.retrieval.base import BuiltInRetriever, log_softmax, recency, sequences_of
from lkgrag.retrieval.products import HistoryWeights
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data.interactions import Interactions

#: Strength of the ridge, in users.
RIDGE = 100.0
#: Most items for which it is fused by default. Beyond, it takes minutes and brings little.
DEFAULT_ITEMS = 5_000
#: Most items: the weights are a dense matrix of 4 bytes a pair of items, and fitting takes three times that.
MOST_ITEMS = 20_000
#: Factor that makes logits of the other systems' size of the scores, which are shares of a user's taste.
SCALE = 10.0


class EASERetriever(BuiltInRetriever):
    """Scores items by a ridge regression of each item on all other items.

    Args:
        weight: float32 ``[I, I]``, from history item to candidate, 0 on the diagonal.
    """

    name = "ease"
    default_items = DEFAULT_ITEMS

    def __init__(self, weight: NDArray[np.float32]) -> None:
        self.weight = weight
        self.num_items = len(weight)

    @classmethod
    def check_data(cls, interactions: Interactions) -> None:
        """Refuse a catalogue whose pairs of items do not fit.

        Raises:
            DataError: there are more than :data:`MOST_ITEMS` items.
        """
        num_items = interactions.num_items
        if num_items > MOST_ITEMS:
            raise DataError(
                f"retrieval.systems: ease weighs every pair of items, of at most {MOST_ITEMS:,}, but there "
                f"are {num_items:,}; leave it out"
            )

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
    ) -> EASERetriever:
        """Solve the regressions on the training interactions; the other arguments are not needed.

        Raises:
            DataError: there are more than :data:`MOST_ITEMS` items.
        """
        cls.check_data(interactions)
        users = _sets(sequences_of(interactions))
        once = recency(users, 1.0, interactions.num_items).astype(np.float64)
        gram = (once.T @ once).toarray()
        gram[np.diag_indices_from(gram)] += RIDGE
        inverse = np.linalg.inv(gram)
        weight = inverse / -np.diag(inverse)
        np.fill_diagonal(weight, 0.0)
        return cls(weight.astype(np.float32))

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> EASERetriever:
        """Solve the regressions anew on all interactions."""
        return self.fit(interactions)

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Sum of the weights of the history's distinct items; 0 for an empty history."""
        return HistoryWeights.of(histories, 1.0, self.num_items).even().times_dense(self.weight)

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Log-softmax of the scaled scores, which may be negative: float32 ``[B, I]``."""
        return log_softmax(np.float32(SCALE) * self.score(histories))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``ease.safetensors``."""
        write_safetensors(
            Path(folder) / "ease.safetensors", {"weight": torch.from_numpy(self.weight)}
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> EASERetriever:
        """Read the weights.

        Raises:
            LkgragError: the file is missing or broken.
        """
        return cls(read_safetensors(Path(folder) / "ease.safetensors")["weight"].numpy())


def _sets(histories: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """The distinct items of each history."""
    return [np.unique(np.asarray(h, np.int64)) for h in histories]
