"""A start for item embeddings: the leading eigenvectors of the training histories' item-item counts.

From random embeddings LRURec needs some twenty epochs to learn which items go together. The counts know that
at once. On ml-100k the first epoch from these embeddings is as good as the twentieth from random ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from lkgrag.retrieval.itemitem import SHRINKAGE, sequential_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviation of the embeddings, and how little entries differ that rounding may have made different.
SCALE, CLOSE = 0.1, 1e-6


def spectral_embeddings(
    sequences: list[NDArray[np.int64]], num_items: int, width: int
) -> NDArray[np.float32]:
    """Embed items so that inner products follow their normalised counts.

    Args:
        sequences: training histories; nothing else is read.
        num_items: ``I``.
        width: of the embeddings; columns beyond the matrix's rank are 0.

    Returns:
        float32 ``[I, width]`` with standard deviation :data:`SCALE`; zeros where no history has two
        different items.
    """
    out = np.zeros((num_items, width))
    ahead = sequential_counts(sequences, num_items)
    counts = (ahead + ahead.T).tocsr()
    rank = min(width, num_items - 1)
    if rank < 1 or counts.nnz == 0:
        return out.astype(np.float32)
    root = sparse.diags_array((np.asarray(counts.sum(1)).ravel() + SHRINKAGE) ** -0.5)
    # A fixed start makes the iteration the same every time.
    left, values, _ = svds(root @ counts @ root, k=rank, v0=np.ones(num_items))
    order = np.argsort(-values)
    out[:, :rank] = _signed(left[:, order]) * np.sqrt(np.maximum(values[order], 0.0))
    return (out * (SCALE / max(float(out.std()), 1e-12))).astype(np.float32)


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors as columns whose largest entry is positive.

    An eigenvector has no sign of its own: that of the iteration depends on the processor. Of entries that are equal but
    for rounding, the first one decides.
    """
    size = np.abs(vectors)
    first = (size >= (1 - CLOSE) * size.max(0)).argmax(0)
    return vectors * np.where(np.take_along_axis(vectors, first[None], 0) < 0, -1.0, 1.0)
