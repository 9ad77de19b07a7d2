"""Products of few history weights with sparse matrices, compiled by numba.

One history has few items, and scipy takes longer to set up a product than to compute it. The sums are made in
scipy's order, so that both give the same bits.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from lkgrag.utils.jit import JIT, compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


#: Smaller weights are left out: beside the share that every item has, no float32 holds what they would add.
NEGLIGIBLE = 1e-12


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

        Items so old that their weight is below :data:`NEGLIGIBLE` are left out.

        Raises:
            ValueError: an item is below 0, or ``num_items`` or above.
        """
        if len(histories) == 1:
            # Several retrievers ask for the weights of the same history, one after the other.
            return _weigh_one(np.asarray(histories[0], np.int64).tobytes(), decay, num_items)
        return cls._weigh(histories, decay, num_items)

    @classmethod
    def _weigh(
        cls, histories: list[NDArray[np.int64]], decay: float, num_items: int
    ) -> HistoryWeights:
        if 0.0 < decay < 1.0:
            kept = math.ceil(math.log(NEGLIGIBLE) / math.log(decay))
            histories = [h[-kept:] for h in histories]
        lengths = np.array([len(h) for h in histories], np.int64)
        item = np.concatenate([np.zeros(0, np.int64), *histories]).astype(np.int64, copy=False)
        if len(item) and not 0 <= item.min() <= item.max() < num_items:
            raise ValueError(f"items of histories must lie in [0, {num_items})")
        ptr = np.zeros(len(histories) + 1, np.int64)
        ptr[1:] = np.cumsum(lengths)
        row = np.repeat(np.arange(len(histories)), lengths)
        weight = np.power(decay, ptr[row + 1] - 1 - np.arange(len(item))).astype(np.float32)
        key = row * num_items + item
        order = np.argsort(key, kind="stable")
        key, weight = key[order], weight[order]
        is_first = np.ones(len(key), np.bool_)
        np.not_equal(key[1:], key[:-1], out=is_first[1:])
        if not is_first.all():
            first = np.flatnonzero(is_first)
            key, row, weight = key[first], row[first], np.add.reduceat(weight, first)
            ptr[1:] = np.cumsum(np.bincount(row, minlength=len(histories)))
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
        out = np.zeros((len(self.ptr) - 1, factors[-1].shape[1]), np.float32)
        self.add_times(factors, out)
        return out

    def add_times(self, factors: Sequence[sparse.csr_matrix], out: NDArray[np.float32]) -> None:
        """Do as :meth:`times`, and write the product into ``out``, float32 ``[B, J]``, which is 0."""
        if not JIT:
            product = self.matrix()
            for factor in factors:
                product = product @ factor
            out += product.toarray()
            return
        parts = [(m.indptr, m.indices, m.data) for m in factors]
        multiply = compiled_product if len(factors) == 1 else compiled_chain
        multiply(self[:3], *parts, out)

    def times_dense(self, factor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Multiply with a dense factor, float32 ``[I, J]``; gives float32 ``[B, J]``."""
        if not JIT:
            return np.asarray(self.matrix() @ factor)
        out = np.zeros((len(self.ptr) - 1, factor.shape[1]), np.float32)
        compiled_rows(self[:3], factor, out)
        return out


@lru_cache(maxsize=8)
def _weigh_one(history: bytes, decay: float, num_items: int) -> HistoryWeights:
    """The weights of one history, given as the bytes of its int64 items; nobody may change them."""
    return HistoryWeights._weigh([np.frombuffer(history, np.int64)], decay, num_items)


@compiled(cache=True, nogil=True)
def compiled_product(weights, matrix, out):  # type: ignore[no-untyped-def]
    """Add ``weights @ matrix`` to ``out``, which is 0; both are compressed rows ``(ptr, column, value)``."""
    ptr, item, weight = weights
    row_ptr, column, value = matrix
    for row in range(len(ptr) - 1):
        total = out[row]
        for entry in range(ptr[row], ptr[row + 1]):
            factor = weight[entry]
            for place in range(row_ptr[item[entry]], row_ptr[item[entry] + 1]):
                total[column[place]] += factor * value[place]


@compiled(cache=True, nogil=True)
def compiled_chain(weights, first, second, out):  # type: ignore[no-untyped-def]
    """Add ``weights @ first @ second`` to ``out``, which is 0; all are compressed rows."""
    ptr, item, weight = weights
    first_ptr, middle, value = first
    second_ptr, column, other = second
    width = len(second_ptr) - 1
    sums = np.zeros(width, np.float32)
    is_touched = np.zeros(width, np.bool_)
    touched = np.empty(width, np.int64)
    for row in range(len(ptr) - 1):
        count = 0
        for entry in range(ptr[row], ptr[row + 1]):
            factor = weight[entry]
            for place in range(first_ptr[item[entry]], first_ptr[item[entry] + 1]):
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
            for place in range(second_ptr[node], second_ptr[node + 1]):
                total[column[place]] += factor * other[place]
            sums[node] = 0.0
            is_touched[node] = False


@compiled(cache=True, nogil=True)
def compiled_rows(weights, matrix, out):  # type: ignore[no-untyped-def]
    """Add ``weights @ matrix`` to ``out``, which is 0; only the weights are compressed rows."""
    ptr, item, weight = weights
    for row in range(len(ptr) - 1):
        total = out[row]
        for entry in range(ptr[row], ptr[row + 1]):
            factor, values = weight[entry], matrix[item[entry]]
            for column in range(len(total)):
                total[column] += factor * values[column]
