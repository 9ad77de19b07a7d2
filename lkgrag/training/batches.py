"""The examples of each optimiser step: a function of (seed, epoch) alone.

Batches do not depend on processes or micro-batches. So one process and eight see the same batches, and
a resumed run goes on as if it had not stopped.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def compose(
    folds: NDArray[np.int64],
    batch_size: int,
    epochs: int,
    seed: int,
    limit: int | None = None,
    tokens: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """All batches of a training; the examples of a batch lie in one fold and so in one graph.

    Args:
        folds: int64 ``[N]``, fold of each example; each example occurs once an epoch.
        batch_size: examples a batch, or tokens where these are given; a fold's last batch of an epoch may be
            smaller.
        epochs: passes over the examples.
        seed: of the orders.
        limit: most examples in all; None for no limit.
        tokens: int64 ``[N]``, tokens of each example; then ``batch_size`` counts tokens, and an example that has
            more is a batch alone.

    Returns:
        Index arrays, int64, of ``batch_size`` examples or fewer.
    """
    batches: list[NDArray[np.int64]] = []
    remaining = math.inf if limit is None else limit
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch, 0xBA7C])
        order = rng.permutation(len(folds))
        cut = cut_by_fold(folds[order], batch_size, None if tokens is None else tokens[order])
        if len(np.unique(folds)) > 1:
            # One fold's batches are in random order already.
            cut = [cut[turn] for turn in rng.permutation(len(cut))]
        for places in cut:
            batch = order[places][: int(min(remaining, len(places)))]
            if len(batch) == 0:
                return batches
            batches.append(batch.astype(np.int64))
            remaining -= len(batch)
    return batches


def cut_by_fold(
    folds: NDArray[np.int64], size: int, tokens: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Cut examples into batches of one fold each, in their order.

    Args:
        folds: int64 ``[N]``, fold of each example.
        size: most examples a batch, or most tokens where these are given.
        tokens: int64 ``[N]``, tokens of each example.

    Returns:
        Index arrays, int64, fold by fold.
    """
    parts = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    if tokens is None:
        return [part[at : at + size] for part in parts for at in range(0, len(part), size)]
    return [batch for part in parts for batch in _cut_by_tokens(part, tokens[part], size)]


def _cut_by_tokens(
    part: NDArray[np.int64], tokens: NDArray[np.int64], size: int
) -> list[NDArray[np.int64]]:
    """Cut examples into batches of at most ``size`` tokens, in their order; each has one example at least."""
    cuts, used = [], 0
    for place, count in enumerate(tokens.tolist()):
        if place and used + count > size:
            cuts.append(place)
            used = 0
        used += count
    return np.split(part, cuts)


def find_epochs(batches: list[NDArray[np.int64]], count: int) -> list[int]:
    """The epoch of each batch of :func:`compose`.

    Args:
        batches: from the first one on.
        count: examples an epoch.
    """
    sizes = [len(batch) for batch in batches]
    return [int(before) // max(1, count) for before in np.cumsum([0, *sizes])[: len(sizes)]]


def draw_wordless(ids: NDArray[np.int64], share: float, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Draw the prompts that are made without path words, from (seed, epoch, id) alone.

    Args:
        ids: a number that identifies each prompt, ``[B]``.
        share: chance of each prompt.
        seed: of the run.
        epoch: of training.

    Returns:
        bool ``[B]``.
    """
    draws = [np.random.default_rng([seed, epoch, int(i), 0x0A1D]).random() for i in ids]
    return np.asarray(draws, np.float64).reshape(len(ids)) < share


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
