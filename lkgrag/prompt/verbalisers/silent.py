"""No paths in words: the prompt holds titles only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.prompt.bundles import Bundles, Choice, bundle_paths
from lkgrag.prompt.verbalisers.base import Verbaliser

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from lkgrag.paths import PathBatch


class Silent(Verbaliser):
    """Words nothing."""

    words_paths = False

    def choose(
        self, paths: PathBatch, salience: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Bundles, Choice, NDArray[np.int64]]:
        """Choose no bundle; see :meth:`Verbaliser.choose`."""
        none = np.zeros(0, np.int64)
        bundles = bundle_paths(paths, self.config.decay)
        return bundles, Choice(none, none, np.zeros(0)), np.zeros(len(bundles), np.int64)

    def word(
        self,
        paths: PathBatch,
        bundles: Bundles,
        index: NDArray[np.int64],
        grade: NDArray[np.int64],
    ) -> list[list[int]]:
        """No words, since no bundle is chosen."""
        return []
