"""The examples of each optimiser step: a function of (seed, epoch) alone.

Batches do not depend on processes or micro-batches. So one process and eight see the same batches, and
a resumed run goes on as if it had not stopped.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def compose(
    folds: NDArray[np.int64], batch_size: int, epochs: int, seed: int, limit: int | None = None
) -> list[NDArray[np.int64]]:
    """All batches of a training; the examples of a batch lie in one fold and so in one graph.

    Args:
        folds: int64 ``[N]``, fold of each example; each example occurs once an epoch.
        batch_size: examples a batch; a fold's last batch of an epoch may be smaller.
        epochs: passes over the examples.
        seed: of the orders.
        limit: most examples in all; None for no limit.

    Returns:
        Index arrays, int64, of ``batch_size`` examples or fewer.
    """
    batches: list[NDArray[np.int64]] = []
    remaining = math.inf if limit is None else limit
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch, 0xBA7C])
        order = rng.permutation(len(folds))
        cut = cut_by_fold(folds[order], batch_size)
        if len(np.unique(folds)) > 1:
            # One fold's batches are in random order already.
            cut = [cut[turn] for turn in rng.permutation(len(cut))]
        for places in cut:
            batch = order[places][: int(min(remaining, batch_size))]
            if len(batch) == 0:
                return batches
            batches.append(batch.astype(np.int64))
            remaining -= len(batch)
    return batches


def cut_by_fold(folds: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Cut examples into batches of one fold each, in their order.

    Args:
        folds: int64 ``[N]``, fold of each example.
        size: most examples a batch.

    Returns:
        Index arrays, int64, fold by fold.
    """
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    return [part[at : at + size] for part in parts for at in range(0, len(part), size)]


def share(batch: NDArray[np.int64], rank: int, world: int, micro: int) -> list[NDArray[np.int64]]:
    """The micro-batches of one process.

    Every process gets equally many micro-batches, because collective operations need that. If a batch
    does not divide evenly, some micro-batches are empty, and the caller pads them with weight 0.

    Args:
        batch: one batch of :func:`compose`.
        rank: rank of the process.
        world: number of processes.
        micro: most examples a micro-batch.

    Returns:
        Index arrays, int64, of ``micro`` examples or fewer.
    """
    mine = batch[rank::world]
    largest = math.ceil(len(batch) / world)
    count = max(1, math.ceil(largest / micro))
    return [mine[i * micro : (i + 1) * micro] for i in range(count)]
