"""Evidence for items without behaviour: similarity to the history by any vectors, and what values say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.text import Whitening

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    Evidence = dict[str, NDArray[np.float32]]

#: Weight of a history item is ``DECAY ** age``; of the latest items only.
DECAY, LATEST = 0.8, 20
#: Axes of vectors made of words, as many as of the encoder's.
AXES = 192
#: Width of a random projection before its axes are found.
PROJECTION = 384
#: Events whose similarities are gathered at once.
BLOCK = 64


def similarities(
    vectors: NDArray[np.float32] | sparse.csr_matrix, items: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Products of the vectors of all items with those of some, float32 ``[I, N]``."""
    out = vectors @ vectors[items].T
    return np.ascontiguousarray(out if isinstance(out, np.ndarray) else out.toarray(), np.float32)


def near_history(table: NDArray[np.float32], latest: NDArray[np.int64], name: str) -> Evidence:
    """The decayed mean of the similarities to the latest items, and the largest one.

    Args:
        table: float32 ``[I, N]``, of :func:`similarities`.
        latest: int64 ``[E, LATEST]``, the latest items of each history, the latest first; -1 pads.
        name: of the vectors.

    Returns:
        ``NAME mean`` and ``NAME nearest``, float32 ``[E, N]``; 0 for an empty history.
    """
    mean = np.zeros((len(latest), table.shape[1]), np.float32)
    nearest = np.zeros_like(mean)
    weight = DECAY ** np.arange(latest.shape[1]) * (latest >= 0)
    weight = (weight / np.maximum(weight.sum(1, keepdims=True), 1e-9)).astype(np.float32)
    for row, (items, shares) in enumerate(zip(latest, weight, strict=True)):
        near = table[items[items >= 0]]
        if len(near):
            np.dot(shares[: len(near)], near, out=mean[row])
            near.max(0, out=nearest[row])
    return {f"{name} mean": mean, f"{name} nearest": nearest}


def whitened(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors with equal spread along :data:`AXES` axes, as the encoder's, rows of length 1."""
    tensor = torch.from_numpy(np.ascontiguousarray(vectors, np.float32))
    return Whitening.fit(tensor, AXES).apply(tensor).numpy()


def lsa(rows: sparse.csr_matrix, seed: int) -> NDArray[np.float32]:
    """Latent semantic analysis of TF-IDF rows, whitened: what counts of words alone can give."""
    from sklearn.decomposition import TruncatedSVD

    axes = min(AXES, rows.shape[1] - 1)
    return whitened(TruncatedSVD(axes, random_state=seed).fit_transform(rows).astype(np.float32))


def random_projection(rows: sparse.csr_matrix, seed: int) -> NDArray[np.float32]:
    """The bag of words times random numbers, whitened: an encoder that knows nothing."""
    draws = np.random.default_rng([seed, 0xBA6]).standard_normal((rows.shape[1], PROJECTION))
    return whitened(np.asarray((rows > 0).astype(np.float32) @ draws.astype(np.float32)))


def value_popularity(
    values: sparse.csr_matrix, near: NDArray[np.float32], items: NDArray[np.int64]
) -> NDArray[np.float32]:
    """How common an item's values are among the neighbours of the history, by their logarithm.

    Args:
        values: float32 ``[I, V]``, 1 where an item has a value, as a brand.
        near: float32 ``[E, I]``, how near each item is to the history by behaviour.
        items: int64 ``[N]``, to be rated.

    Returns:
        float32 ``[E, N]``.
    """
    from scipy import sparse as sp

    count = np.asarray(values.sum(1)).ravel()
    share = sp.csr_matrix(sp.diags_array(1 / np.maximum(count, 1)) @ values).astype(np.float32)
    profile = np.asarray(share.T @ near.T).T
    profile = profile / np.maximum(profile.sum(1, keepdims=True), 1e-9)
    return np.log(np.asarray((share[items] @ profile.T).T) + 1e-4).astype(np.float32)
