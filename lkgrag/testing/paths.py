"""Random path batches of the toy graph, for tests of scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.config import PathsConfig
from lkgrag.data.queries import Queries
from lkgrag.paths import PathBatch, PathFinder
from lkgrag.testing.graph import toy_kg

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


def toy_paths(
    num_prompts: int = 6, num_candidates: int = 5, seed: int = 0, data: HeteroData | None = None
) -> PathBatch:
    """Find the path instances of the toy graph for random histories and candidates.

    The last slot of the first prompt is padding. The last prompt belongs to an unknown user without ratings,
    and its history is shorter than the others.

    Args:
        num_prompts: ``B``.
        num_candidates: ``C``, at most 7.
        seed: of the random draws.
        data: the graph; :func:`~lkgrag.testing.toy_kg` by default.
    """
    data = toy_kg() if data is None else data
    rng = np.random.default_rng(seed)
    items = int(data["item"].num_nodes)
    users = int(data["user"].num_nodes) if "user" in data.node_types else 0
    histories, ratings, candidates = [], [], []
    for prompt in range(num_prompts):
        order = rng.permutation(items)
        candidates.append(order[:num_candidates])
        latest = order[num_candidates:][: 1 if prompt == num_prompts - 1 else 3]
        histories.append(latest)
        ratings.append(rng.integers(1, 6, len(latest)).astype(np.float32))
    table = np.stack(candidates)
    table[0, -1] = -1
    ratings[-1][:] = np.nan
    user = rng.integers(0, users, num_prompts) if users else np.full(num_prompts, -1)
    user[-1] = -1
    scores = rng.normal(size=table.shape).astype(np.float32)
    queries = Queries.from_histories(histories, table, scores, 4, ratings, user)
    return PathFinder(data, PathsConfig())(queries)
