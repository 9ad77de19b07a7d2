"""Which examples an optimiser step sees: a function of (seed, epoch) alone.

The composition knows nothing of processes or micro-batches, so that one process and eight see the
same batches, and a resumed run goes on as if it had not stopped.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def compose(
    num_examples: int, batch_size: int, epochs: int, seed: int, limit: int | None = None
) -> list[NDArray[np.int64]]:
    """All batches of a training.

    Args:
        num_examples: examples to draw from, each once an epoch.
        batch_size: examples a batch; an epoch's last batch may be smaller.
        epochs: passes.
        seed: of the orders.
        limit: stop after so many examples in all; None for no limit.

    Returns:
        Index arrays of ``batch_size`` examples or fewer.
    """
    batches: list[NDArray[np.int64]] = []
    left = math.inf if limit is None else limit
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch, 0xBA7C]).permutation(num_examples)
        for start in range(0, num_examples, batch_size):
            batch = order[start : start + batch_size][: int(min(left, batch_size))]
            if len(batch) == 0:
                return batches
            batches.append(batch.astype(np.int64))
            left -= len(batch)
    return batches


def share(batch: NDArray[np.int64], rank: int, world: int, micro: int) -> list[NDArray[np.int64]]:
    """The micro-batches of one process.

    Every process gets equally many micro-batches, as collective operations need; where a batch does
    not divide evenly, some are empty (the caller pads them with weight 0).

    Args:
        batch: of :func:`compose`.
        rank: of the process.
        world: processes.
        micro: most examples a micro-batch.
    """
    mine = batch[rank::world]
    largest = math.ceil(len(batch) / world)
    count = max(1, math.ceil(largest / micro))
    return [mine[i * micro : (i + 1) * micro] for i in range(count)]
