"""Popularity: how many training interactions an item has. Everyone gets the same list."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.retrieval.base import BuiltInRetriever, log_shares
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data.interactions import Interactions


class PopularityRetriever(BuiltInRetriever):
    """Scores every item by its count.

    Args:
        count: int64 ``[I]``, training interactions of each item.
    """

    name = "popularity"
    is_always_fitted = True

    def __init__(self, count: NDArray[np.int64]) -> None:
        self.count = count
        self.num_items = len(count)

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
    ) -> PopularityRetriever:
        """Count the training interactions of each item; the other arguments are not needed."""
        return cls(np.bincount(interactions.item, minlength=interactions.num_items))

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> PopularityRetriever:
        """Count all interactions anew."""
        return self.fit(interactions)

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The counts, whatever the history."""
        return np.tile(self.count.astype(np.float32), (len(histories), 1))

    @cached_property
    def _log_shares(self) -> NDArray[np.float32]:
        return log_shares(self.count.astype(np.float32)[None])

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logarithms of the counts' shares."""
        return np.tile(self._log_shares, (len(histories), 1))

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
