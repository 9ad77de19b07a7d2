"""The contract of a verbaliser: bundles of paths in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.prompt.bundles import Bundles, Choice, Grades, bundle_paths, by_chance, choose

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch


class Verbaliser(ABC):
    """Says which bundles a prompt words, and how.

    Args:
        tokenizer: of the language model.
        data: the graph, for names.
        config: of the prompts.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, data: HeteroData, config: PromptConfig
    ) -> None:
        self.tokenizer, self.data, self.config = tokenizer, data, config
        self.grades: Grades | None = None

    def fit(self, batches: Iterable[PathBatch]) -> None:
        """Take the grades' thresholds from the paths of training queries."""
        bundles, num_metapaths = [], 0
        for paths in batches:
            num_metapaths = len(paths.metapaths)
            bundles.append(bundle_paths(paths, self.config.decay))
        self.grades = Grades.fit(bundles, num_metapaths)

    def choose(
        self, paths: PathBatch, salience: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Bundles, Choice, np.ndarray]:
        """The bundles of a batch, which of them are worded, and the grade of every bundle.

        Raises:
            ValueError: :meth:`fit` was not called, or for other meta-paths.
        """
        if self.grades is None or len(self.grades.thresholds) != len(paths.metapaths):
            raise ValueError("the verbaliser does not know these meta-paths: call fit first")
        bundles = bundle_paths(paths, self.config.decay, salience)
        grade = self.grades(bundles)
        chance = by_chance(paths, bundles) if self.config.choice == "random" else None
        return bundles, choose(bundles, grade, self.config.paths, generator, chance), grade

    @abstractmethod
    def word(
        self, paths: PathBatch, bundles: Bundles, index: np.ndarray, grade: np.ndarray
    ) -> list[list[int]]:
        """Tokens of bundles, as they stand behind a candidate's title.

        Args:
            paths: of the batch.
            bundles: of the batch.
            index: int64 ``[K]``, the bundles to word.
            grade: int64 ``[N]``, of every bundle.

        Returns:
            ``K`` token lists, none empty.
        """
