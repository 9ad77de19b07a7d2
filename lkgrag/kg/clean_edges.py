"""Which edges of a relation count, and in which order: by source, then target, without loops and repetitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def clean_order(
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    weight: NDArray[np.floating],
    num_targets: int,
    may_loop: bool,
) -> NDArray[np.int64] | None:
    """Choose and order edges. Of repeated edges, only the one with the largest weight stays, the first of equals.

    Args:
        source: int64 ``[E]``.
        target: int64 ``[E]``.
        weight: float ``[E]``.
        num_targets: number of nodes that ``target`` may name.
        may_loop: whether both ends are of one type, so that equal ends are a loop.

    Returns:
        int64, the edges that stay; None if all stay where they are.
    """
    key = source * num_targets + target
    if bool((key[1:] > key[:-1]).all()) and not (may_loop and bool((source == target).any())):
        return None
    order = np.lexsort((-weight, target, source))
    if may_loop:
        order = order[source[order] != target[order]]
    first = np.ones(len(order), bool)
    a, b = source[order], target[order]
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return order[first]
