"""Products of few history weights with sparse matrices, compiled by numba.

One history has few items, and scipy takes longer to set up a product than to compute it. The sums are made in
scipy's order, so that both give the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from lkgrag.utils.jit import JIT, compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class HistoryWeights(NamedTuple):
    """Weights of the items of ``B`` histories, in compressed rows.

    Attributes:
        ptr: int64 ``[B + 1]``, where each history begins.
        item: int64, each item of a history once, rising within a history.
        weight: float32, one for each of ``item``.
        num_items: ``I``.
    """

    ptr: NDArray[np.int64]
    item: NDArray[np.int64]
    weight: NDArray[np.float32]
    num_items: int

    @classmethod
    def of(cls, histories: list[NDArray[np.int64]], decay: float, num_items: int) -> HistoryWeights:
        """Weigh items by ``decay ** age``, age 0 the latest; the weights of repeated items are added.

        Raises:
            ValueError: an item is below 0, or ``num_items`` or above.
        """
        lengths = np.array([len(h) for h in histories], np.int64)
        end = np.cumsum(lengths)
        item = np.concatenate([np.zeros(0, np.int64), *histories]).astype(np.int64, copy=False)
        if len(item) and not 0 <= item.min() <= item.max() < num_items:
            raise ValueError(f"items of histories must lie in [0, {num_items})")
        row = np.repeat(np.arange(len(histories)), lengths)
        weight = np.power(decay, end[row] - 1 - np.arange(len(item))).astype(np.float32)
        key = row * num_items + item
        order = np.argsort(key, kind="stable")
        key, weight = key[order], weight[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        if len(first) < len(key):
            key, weight = key[first], np.add.reduceat(weight, first)
        ptr = np.searchsorted(key, np.arange(len(histories) + 1) * num_items)
        row = np.repeat(np.arange(len(histories)), np.diff(ptr))
        return cls(ptr, key - row * num_items, weight, num_items)

    def even(self) -> HistoryWeights:
        """The same items, each with weight 1."""
        return self._replace(weight=np.ones_like(self.weight))

    def matrix(self) -> sparse.csr_matrix:
        """The weights as a sparse matrix, float32 ``[B, I]``."""
        shape = (len(self.ptr) - 1, self.num_items)
        return sparse.csr_matrix((self.weight, self.item, self.ptr), shape=shape)

    def times(self, factors: Sequence[sparse.csr_matrix]) -> NDArray[np.float32]:
        """Multiply with one or two sparse factors.

        Args:
            factors: float32 ``[I, J]``; or two, ``[I, V]`` and ``[V, J]``; in compressed rows.

        Returns:
            float32 ``[B, J]``, dense.
        """
        if not JIT:
            product = self.matrix()
            for factor in factors:
                product = product @ factor
            return np.asarray(product.toarray(), np.float32)
        out = np.zeros((len(self.ptr) - 1, factors[-1].shape[1]), np.float32)
        parts = [array for m in factors for array in (m.indptr, m.indices, m.data)]
        multiply = compiled_product if len(factors) == 1 else compiled_chain
        multiply(self.ptr, self.item, self.weight, *parts, out)
        return out

    def times_dense(self, factor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Multiply with a dense factor, float32 ``[I, J]``; gives float32 ``[B, J]``."""
        if not JIT:
            return np.asarray(self.matrix() @ factor)
        out = np.zeros((len(self.ptr) - 1, factor.shape[1]), np.float32)
        compiled_rows(self.ptr, self.item, self.weight, factor, out)
        return out


@compiled(cache=True, nogil=True)
def compiled_product(ptr, item, weight, row_ptr, column, value, out):  # type: ignore[no-untyped-def]
    """Add ``weight @ matrix`` to ``out``, which is 0; both factors are in compressed rows."""
    for row in range(len(ptr) - 1):
        total = out[row]
        for entry in range(ptr[row], ptr[row + 1]):
            factor = weight[entry]
            for place in range(row_ptr[item[entry]], row_ptr[item[entry] + 1]):
                total[column[place]] += factor * value[place]


@compiled(cache=True, nogil=True)
def compiled_chain(  # type: ignore[no-untyped-def]
    ptr, item, weight, out_ptr, middle, value, back_ptr, target, back, out
):
    """Add ``weight @ first [I, V] @ second [V, J]`` to ``out``, which is 0."""
    width = len(back_ptr) - 1
    sums = np.zeros(width, np.float32)
    is_touched = np.zeros(width, np.bool_)
    touched = np.empty(width, np.int64)
    for row in range(len(ptr) - 1):
        count = 0
        for entry in range(ptr[row], ptr[row + 1]):
            factor = weight[entry]
            for place in range(out_ptr[item[entry]], out_ptr[item[entry] + 1]):
                node = middle[place]
                if not is_touched[node]:
                    is_touched[node] = True
                    touched[count] = node
                    count += 1
                sums[node] += factor * value[place]
        total = out[row]
        # The last one that was touched comes first, as in scipy's lists.
        for turn in range(count - 1, -1, -1):
            node = touched[turn]
            factor = sums[node]
            for place in range(back_ptr[node], back_ptr[node + 1]):
                total[target[place]] += factor * back[place]
            sums[node] = 0.0
            is_touched[node] = False


@compiled(cache=True, nogil=True)
def compiled_rows(ptr, item, weight, factor, out):  # type: ignore[no-untyped-def]
    """Add ``weight @ factor`` to ``out``, which is 0; ``factor`` is dense, ``[I, J]``."""
    for row in range(len(ptr) - 1):
        total = out[row]
        for entry in range(ptr[row], ptr[row + 1]):
            scale, values = weight[entry], factor[item[entry]]
            for column in range(len(total)):
                total[column] += scale * values[column]
