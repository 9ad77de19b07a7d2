"""Inner products of chosen pairs of vectors, compiled by numba."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.utils.jit import JIT, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Pairs of a block, where nothing is compiled.
BLOCK = 65_536


@compiled(cache=True, nogil=True, fastmath=True)
def _compiled_products(items, states, row, item, out):  # type: ignore[no-untyped-def]
    """Write the product of each pair into ``out``."""
    width = items.shape[1]
    for pair in range(len(item)):
        total = np.float32(0)
        for place in range(width):
            total += items[item[pair], place] * states[row[pair], place]
        out[pair] = total


def inner_products(
    items: NDArray[np.float32],
    states: NDArray[np.float32],
    row: NDArray[np.int64],
    item: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Inner products of pairs. Equal vectors have equal products, whatever their places.

    Args:
        items: float32 ``[I, d]``.
        states: float32 ``[B, d]``.
        row: int64 ``[N]``, of ``states``.
        item: int64 ``[N]``, of ``items``.

    Returns:
        float32 ``[N]``.
    """
    out = np.empty(len(item), np.float32)
    if JIT:
        _compiled_products(items, states, row, item, out)
        return out
    for start in range(0, len(item), BLOCK):
        part = slice(start, start + BLOCK)
        out[part] = np.einsum("nd,nd->n", items[item[part]], states[row[part]])
    return out
