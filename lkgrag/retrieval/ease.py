r"""EASE: a linear model of which items go together, over the whole history whatever its order.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (arXiv 1905.03375). With the users' items
:math:`X \in \{0, 1\}^{U \times I}`, :math:`P = (X^\top X + \lambda E)^{-1}` and a diagonal that must be 0,

.. math:: B = E - P \, \mathrm{diag}(P)^{-1}, \qquad score(j) = \sum_{h \in \text{history}} B_{hj}

What LRURec and the decayed counts forget, lasting taste, is what it knows; what came last it does not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import DataError
from lkgrag.retrieval.base import Retriever, log_softmax, recency, training_sequences
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions

#: Strength of the ridge, in users.
RIDGE = 100.0
#: Most items that it is fused for unless asked for; beyond, it takes minutes where it brings little.
DEFAULT_ITEMS = 5_000
#: Most items: the weights are a dense matrix, 4 bytes a pair of items here and thrice as much in fitting.
MOST_ITEMS = 20_000
#: From scores, shares of a user's taste, to logits of the size of the other systems'.
SCALE = 10.0


class EASERetriever(Retriever):
    """Scores items by a ridge regression of each item on all others.

    Args:
        weight: float32 ``[I, I]``, from history item to candidate, 0 on the diagonal.
    """

    name = "ease"

    def __init__(self, weight: NDArray[np.float32]) -> None:
        self.weight = weight
        self.num_items = len(weight)

    @classmethod
    def fit(cls, interactions: Interactions, train_end: NDArray[np.int64]) -> EASERetriever:
        """Solve for the first ``train_end[user]`` items of each user.

        Raises:
            DataError: there are more than :data:`MOST_ITEMS` items.
        """
        check_size(interactions.num_items)
        users = _sets(training_sequences(interactions, train_end))
        once = recency(users, 1.0, interactions.num_items).astype(np.float64)
        gram = (once.T @ once).toarray()
        gram[np.diag_indices_from(gram)] += RIDGE
        inverse = np.linalg.inv(gram)
        weight = inverse / -np.diag(inverse)
        np.fill_diagonal(weight, 0.0)
        return cls(weight.astype(np.float32))

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Sum of the weights of the history's items, each once; 0 for an empty history."""
        return np.asarray(recency(_sets(histories), 1.0, self.num_items) @ self.weight)

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


def check_size(num_items: int) -> None:
    """Refuse a catalogue whose pairs of items do not fit.

    Raises:
        DataError: there are more than :data:`MOST_ITEMS` items.
    """
    if num_items > MOST_ITEMS:
        raise DataError(
            f"retrieval.systems: ease weighs every pair of items, of at most {MOST_ITEMS:,}, but there are "
            f"{num_items:,}; leave it out"
        )


def _sets(histories: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Each history's items once."""
    return [np.unique(np.asarray(h, np.int64)) for h in histories]
