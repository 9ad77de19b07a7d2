"""The toy graph with the paths of a few prompts, for tests of prompters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.config import PathsConfig
from lkgrag.data.queries import Queries
from lkgrag.paths.metapath_search.finder import PathFinder
from lkgrag.testing.graph import toy_kg

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.paths import PathBatch


def toy_paths() -> tuple[HeteroData, PathBatch]:
    """Return the toy graph and the paths of three prompts, with 4, 2 and 1 candidates in 4 slots.

    The history of the last prompt has a single film.
    """
    data = toy_kg()
    histories = [np.array([3, 0, 1]), np.array([5, 6]), np.array([9])]
    candidates = np.array([[4, 2, 8, 7], [9, 8, -1, -1], [0, -1, -1, -1]])
    ratings = [np.array([5, 4, 3], np.float32), np.array([2, np.nan], np.float32)]
    queries = Queries.from_histories(
        histories,
        candidates,
        np.zeros(candidates.shape, np.float32),
        history=20,
        ratings=[*ratings, np.array([np.nan], np.float32)],
    )
    return data, PathFinder(data, PathsConfig())(queries)
