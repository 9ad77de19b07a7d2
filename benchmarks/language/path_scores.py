"""Path scorers trained on given lists, and their scores of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.data.queries import Queries
from lkgrag.scorer.base import score_paths
from lkgrag.scorer.resolver import new_scorer
from lkgrag.training.pretraining import pretrain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import Config
    from lkgrag.paths import GraphPaths
    from lkgrag.scorer import PathScorer
    from lkgrag.training.pretraining import Pretraining

#: Lists of which the paths are scored at once.
CHUNK = 64


def train(graph: GraphPaths, config: Config, examples: Queries) -> tuple[PathScorer, Pretraining]:
    """Train the configured scorer alone, as a run does.

    Args:
        graph: the graph that knows nothing of the lists' targets, and its paths.
        config: options of scorer and paths, and the seed.
        examples: lists that hold their target.
    """
    scorer = new_scorer(config.scorer, config.paths.search, graph, config.seed)
    paths, target = graph(examples), examples.target
    return scorer, pretrain(scorer, graph.data, paths, target, config.scorer, config.seed)


@torch.inference_mode()
def scores(scorer: PathScorer, graph: GraphPaths, queries: Queries) -> NDArray[np.float32]:
    """The scorer's scores of all candidates, float32 ``[B, C]``."""
    parts = [np.zeros((0, queries.candidate_items.shape[1]), np.float32)]
    scorer.eval()
    for start in range(0, len(queries), CHUNK):
        paths = graph(queries[slice(start, start + CHUNK)])
        parts.append(score_paths(scorer, graph.data, paths).candidate.float().numpy())
    return np.concatenate(parts)
