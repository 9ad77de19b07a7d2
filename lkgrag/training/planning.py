"""The plan of a training: which examples are held out, and which ones each step takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.training.batches import compose
from lkgrag.training.stopping import hold_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import TrainingConfig
    from lkgrag.data import Queries
    from lkgrag.paths import ExamplePaths
    from lkgrag.prompt import BasePrompter

#: Prompts that are made at once.
CHUNK = 64


def plan(
    prompter: BasePrompter | None,
    graphs: ExamplePaths,
    queries: Queries,
    config: TrainingConfig,
    seed: int,
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Choose the held-out examples, and compose the batches of all others.

    Args:
        prompter: of the ranker; without one batches hold prompts, not tokens.
        graphs: the graphs of the examples and their paths.
        queries: the examples.
        config: of the training; a negative ``max_examples`` means no limit.
        seed: of the run.

    Returns:
        Indices of the examples of each step, and of those that are held out, int64.
    """
    limit = config.max_examples if config.max_examples >= 0 else None
    is_out = hold_out(queries.user, config.held_out, seed)
    kept = np.flatnonzero(~is_out)
    size, tokens = config.batch_size, None
    if config.batch_tokens and prompter is not None:
        size = config.batch_tokens
        tokens = measure_lengths(prompter, graphs, queries)[kept]
    folds = graphs.folds_of(queries)[kept]
    batches = compose(folds, size, config.epochs, seed, limit, tokens)
    return [kept[batch] for batch in batches], np.flatnonzero(is_out)


def measure_lengths(
    prompter: BasePrompter, graphs: ExamplePaths, queries: Queries
) -> NDArray[np.int64]:
    """Count the tokens of each prompt with its path words, int64 ``[N]``.

    No scorer chooses the words, so that a resumed training cuts the same batches. The scorer's choice changes the
    lengths by few tokens.

    Args:
        prompter: of the ranker.
        graphs: the graphs of the examples and their paths.
        queries: ``N`` examples.
    """
    lengths = np.zeros(len(queries), np.int64)
    for graph, index in graphs.parts(queries):
        for start in range(0, len(index), CHUNK):
            chunk = index[start : start + CHUNK]
            paths = graph(queries[chunk]).to("cpu")
            order = torch.arange(paths.num_candidates).repeat(len(chunk), 1)
            lengths[chunk] = prompter(paths, None, order).lengths.numpy()
    return lengths
