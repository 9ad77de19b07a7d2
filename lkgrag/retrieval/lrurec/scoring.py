"""Scores of all items by a trained LRURec."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from lkgrag.retrieval.lrurec.network import LRURec

#: Tokens of a batch when scoring. On a CPU small batches stay in its cache, and have less padding.
SCORE_TOKENS, SCORE_TOKENS_CPU = 16_384, 1_024


@torch.inference_mode()
def score_histories(
    model: LRURec, histories: list[NDArray[np.int64]], max_len: int
) -> NDArray[np.float32]:
    """Logits of all items after the latest ``max_len`` items of each history.

    Args:
        model: the network; it is in evaluation mode afterwards.
        histories: ``B`` arrays of item indices, oldest first.
        max_len: latest items of a history that are read.

    Returns:
        float32 ``[B, I]``; the item bias for an empty history.
    """
    latest = [np.asarray(h, np.int64)[-max_len:] for h in histories]
    out = np.empty((len(latest), model.num_items), np.float32)
    for rows, states, last in _encoded(model, latest, max_len):
        if states is None:
            out[rows] = model.bias.cpu().numpy()
            continue
        logits = model.logits(states)
        if last.min() < 0:
            logits[last < 0] = model.bias
        out[rows] = logits.cpu().numpy()
    return out


@torch.inference_mode()
def encode_histories(
    model: LRURec, histories: list[NDArray[np.int64]], max_len: int
) -> NDArray[np.float32]:
    """The states whose inner products with the items' vectors, plus bias, are the logits.

    Args:
        model: the network; it is in evaluation mode afterwards.
        histories: ``B`` arrays of item indices, oldest first.
        max_len: latest items of a history that are read.

    Returns:
        float32 ``[B, width]``; 0 for an empty history.
    """
    latest = [np.asarray(h, np.int64)[-max_len:] for h in histories]
    (width,) = model.norm.normalized_shape
    out = np.zeros((len(latest), width), np.float32)
    for rows, states, last in _encoded(model, latest, max_len):
        if states is not None:
            out[rows] = states.masked_fill((last < 0)[:, None], 0.0).cpu().numpy()
    return out


def _encoded(
    model: LRURec, latest: list[NDArray[np.int64]], max_len: int
) -> Iterator[tuple[NDArray[np.int64], Tensor | None, Tensor]]:
    """Yield rows, their states ``[b, width]``, and the place of their last items, -1 where there is none.

    There are no states where all histories of a batch are empty.
    """
    if model.training:
        model.eval()
    device = model.bias.device
    lengths = np.array([len(h) for h in latest], np.int64)
    # Histories of similar length go together, so that there is little padding.
    order = np.argsort(lengths, kind="stable")
    tokens = SCORE_TOKENS_CPU if device.type == "cpu" else SCORE_TOKENS
    step = max(1, tokens // max(1, max_len))
    for start in range(0, len(order), step):
        rows = order[start : start + step]
        items = pad([latest[r] for r in rows], model.num_items).to(device)
        last = torch.from_numpy(lengths[rows]).to(device) - 1
        yield rows, model.encode_last(items, last.clamp(min=0)) if len(items) else None, last


def pad(sequences: list[NDArray[np.int64]], padding: int) -> Tensor:
    """Stack sequences, time first, padding at the end: int64 ``[T, B]``."""
    length = max((len(s) for s in sequences), default=0)
    out = np.full((len(sequences), length), padding, np.int64)
    for row, sequence in enumerate(sequences):
        out[row, : len(sequence)] = sequence
    return torch.from_numpy(out.T.copy())
