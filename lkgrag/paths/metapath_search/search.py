"""What searches along meta-paths share: prompts in blocks, and the instances of all blocks as one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import ConfigError
from lkgrag.paths.batch import PathBatch, PathColumns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import PathsConfig
    from lkgrag.data.queries import Queries
    from lkgrag.paths.batch import MetaPath
    from lkgrag.paths.metapath_search.two_edges import Instances

#: Number of prompts of a block; the data of such a block fit into the processor's cache.
BLOCK = 32


class MetaPathSearch(ABC):
    """Finds the path instances of a graph for batches of prompts.

    Args:
        metapaths: of the graph.
        num_items: of the graph.
        config: the cap.

    Raises:
        ConfigError: the cap is below 1.
    """

    def __init__(self, metapaths: list[MetaPath], num_items: int, config: PathsConfig) -> None:
        if config.max_per_pair < 1:
            raise ConfigError(f"paths.max_per_pair must be at least 1, got {config.max_per_pair}")
        self.config, self.metapaths, self.num_items = config, metapaths, num_items
        self._width = max((len(m) + 1 for m in metapaths), default=0)

    def __call__(self, queries: Queries) -> PathBatch:
        """Find the instances of a batch.

        Args:
            queries: ``B`` prompts.

        Returns:
            The batch on the CPU, sorted by (sample, candidate, history, meta-path, nodes).

        Raises:
            ValueError: an item of the queries is not in the graph.
        """
        history, candidates = queries.history_items, queries.candidate_items
        for name, items in (("history_items", history), ("candidate_items", candidates)):
            if items.max(initial=-1) >= self.num_items or items.min(initial=-1) < -1:
                raise ValueError(f"{name} must lie in [-1, {self.num_items})")
        per_prompt = history.shape[1] * candidates.shape[1]
        blocks = []
        if self.metapaths and per_prompt:
            bounds = self._bounds(history, candidates)
            for start, end in pairwise(bounds):
                part = slice(start, end)
                instances = self._search(history[part], candidates[part], queries.time[part])
                blocks.append((start * per_prompt, instances))
        return self._batch(queries, blocks)

    def _bounds(self, history: NDArray[np.int64], candidates: NDArray[np.int64]) -> list[int]:
        """Cut the prompts into blocks: where blocks begin, and the end."""
        return [*range(0, len(history), BLOCK), len(history)]

    @abstractmethod
    def _search(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64], time: NDArray[np.float64]
    ) -> Instances:
        """Find the instances of a block of prompts, sorted by pair, then meta-path, then nodes."""

    def _batch(self, queries: Queries, blocks: list[tuple[int, Instances]]) -> PathBatch:
        """Join the instances of all blocks; each block comes with the number of its first pair."""

        def column(name: str, shape: tuple[int, ...] = (0,)) -> NDArray:
            parts = [getattr(instances, name) for _, instances in blocks]
            return np.concatenate(parts) if parts else np.zeros(shape, np.int64)

        pair = [offset + instances.pair for offset, instances in blocks]
        flat = np.concatenate(pair) if pair else np.zeros(0, np.int64)
        num_history, num_candidates = (
            queries.history_items.shape[1],
            queries.candidate_items.shape[1],
        )
        # NumPy divides by one number in fewer steps than divmod takes.
        slot = flat // max(num_history, 1)
        history = flat - slot * num_history
        sample = slot // max(num_candidates, 1)
        candidate = slot - sample * num_candidates
        columns = PathColumns(
            sample=torch.from_numpy(sample),
            history=torch.from_numpy(history),
            candidate=torch.from_numpy(candidate),
            metapath=torch.from_numpy(column("metapath")),
            nodes=torch.from_numpy(column("nodes", (0, self._width))),
            weight=torch.from_numpy(column("weight").astype(np.float32)),
        )
        return PathBatch.of(queries, self.metapaths, columns)
