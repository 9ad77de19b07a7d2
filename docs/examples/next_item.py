"""A built-in retriever: what comes right after the latest item."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lkgrag.retrieval import BuiltInRetriever, log_shares
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data import Interactions


class NextItemRetriever(BuiltInRetriever):
    """Counts how often each item came right after the latest one.

    Args:
        counts: float32 ``[I, I]``, from the latest item to the next one.
    """

    name = "next_item"
    #: The counts are dense.
    default_items = 5_000

    def __init__(self, counts: NDArray[np.float32]) -> None:
        self.counts = counts
        self.num_items = len(counts)

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
    ) -> NextItemRetriever:
        """Count neighbouring items; a pair counts less the older it is."""
        counts = np.zeros((interactions.num_items,) * 2, np.float32)
        for user in range(interactions.num_users):
            items = interactions.sequence(user)
            age = np.arange(len(items) - 1)[::-1]
            np.add.at(counts, (items[:-1], items[1:]), decay**age)
        return cls(counts)

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The counts of the latest item; 0 for an empty history."""
        scores = np.zeros((len(histories), self.num_items), np.float32)
        for row, history in enumerate(histories):
            if len(history):
                scores[row] = self.counts[history[-1]]
        return scores

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logarithms of the counts' shares."""
        return log_shares(self.score(histories))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``next_item.safetensors``."""
        tensors = {"counts": torch.from_numpy(self.counts)}
        write_safetensors(Path(folder) / "next_item.safetensors", tensors)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> NextItemRetriever:
        """Read the counts."""
        return cls(read_safetensors(Path(folder) / "next_item.safetensors")["counts"].numpy())
