"""Popularity: how many training interactions an item has. The same list for everyone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.retrieval.base import Retriever, log_shares, training_sequences
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions


class PopularityRetriever(Retriever):
    """Scores every item by its count.

    Args:
        count: int64 ``[I]``, training interactions of each item.
    """

    name = "popularity"

    def __init__(self, count: NDArray[np.int64]) -> None:
        self.count = count
        self.num_items = len(count)

    @classmethod
    def fit(cls, interactions: Interactions, train_end: NDArray[np.int64]) -> PopularityRetriever:
        """Count the first ``train_end[user]`` items of each user."""
        items = np.concatenate(
            [np.zeros(0, np.int64), *training_sequences(interactions, train_end)]
        )
        return cls(np.bincount(items, minlength=interactions.num_items))

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The counts, whatever the history."""
        return np.tile(self.count.astype(np.float32), (len(histories), 1))

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logarithms of the counts' shares."""
        return log_shares(self.score(histories))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``popularity.safetensors``."""
        tensors = {"count": torch.from_numpy(self.count)}
        write_safetensors(Path(folder) / "popularity.safetensors", tensors)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PopularityRetriever:
        """Read the counts.

        Raises:
            LkgragError: the file is missing or broken.
        """
        return cls(read_safetensors(Path(folder) / "popularity.safetensors")["count"].numpy())
