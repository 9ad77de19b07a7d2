"""The contract of a verbaliser: which bundles of paths are worded, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch

from lkgrag.prompt.bundles import Bundles, Choice, Grades, bundle_paths, choose, draw_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch


class Verbaliser(ABC):
    """Chooses the bundles that a prompt words, and words them.

    Args:
        tokenizer: of the language model.
        data: the graph, for names.
        config: of the prompts.

    Attributes:
        words_paths: whether it words anything; the prompt's heading mentions reasons if so.
        grades: the grades of bundles, as :meth:`fit` or :meth:`load_tables` left them.
    """

    words_paths: ClassVar[bool] = True

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

    def tables(self) -> dict[str, Tensor]:
        """What :meth:`fit` learned, to be saved with a ranker: float64 ``[num_metapaths, 9]``."""
        return {} if self.grades is None else {"grades": torch.from_numpy(self.grades.thresholds)}

    def load_tables(self, tables: dict[str, Tensor]) -> None:
        """Take over what :meth:`tables` gave."""
        if "grades" in tables:
            self.grades = Grades(tables["grades"].double().numpy())

    def choose(
        self, paths: PathBatch, salience: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Bundles, Choice, NDArray[np.int64]]:
        """Choose the bundles that are worded.

        Args:
            paths: of the batch, ``P`` of them.
            salience: ``[P]``; None without a scorer.
            generator: where given, bundles are sampled by their salience.

        Returns:
            The ``N`` bundles of the batch, the choice of ``K`` of them, and the grade of every bundle,
            int64 ``[N]``.

        Raises:
            ValueError: :meth:`fit` was not called, or for other meta-paths.
        """
        if self.grades is None or len(self.grades.thresholds) != len(paths.metapaths):
            raise ValueError("the verbaliser does not know these meta-paths: call fit first")
        bundles = bundle_paths(paths, self.config.decay, salience)
        grade = self.grades(bundles)
        chance = draw_keys(paths, bundles) if self.config.choice == "random" else None
        return bundles, choose(bundles, grade, self.config.paths, generator, chance), grade

    @abstractmethod
    def word(
        self,
        paths: PathBatch,
        bundles: Bundles,
        index: NDArray[np.int64],
        grade: NDArray[np.int64],
    ) -> list[list[int]]:
        """Put bundles in tokens, as they stand behind a candidate's title.

        Args:
            paths: of the batch.
            bundles: of the batch, ``N`` of them.
            index: int64 ``[K]``, the bundles to word.
            grade: int64 ``[N]``, of every bundle.

        Returns:
            ``K`` lists of token ids, none empty.
        """
