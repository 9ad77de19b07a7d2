r"""The kinds of things that a request is near to: the values of one attribute, such as categories or genres.

A request in other words is near to many items of a kind, but not to all. So its similarity to an item counts for
all items of the same kind. With :math:`k_i` the similarity of item :math:`i` to the request, a value's is the mean
of its items', a kernel regression (Nadaraya 1964; Watson 1964), and an item's is the mean of its values'.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

#: Items that a value needs, to be a kind.
LEAST = 5


@dataclass(frozen=True)
class ItemKinds:
    """The values of an attribute that items share.

    Attributes:
        names: of the ``V`` values; empty for an item that stands for itself.
        items: float32 ``[V, I]``, 1 where an item has the value. Each item has at least one.
    """

    names: list[str]
    items: sparse.csr_matrix

    @classmethod
    def of(cls, items: pd.DataFrame) -> ItemKinds:
        """The values of :func:`kind_attribute` that at least :data:`LEAST` items have.

        An item without such a value is a kind of its own.

        Args:
            items: as of :func:`lkgrag.text.item_texts`.
        """
        column = kind_attribute(items)
        values: list[list[str]] = [[]] * len(items)
        if column is not None:
            values = [list(dict.fromkeys(row)) for row in items[column]]
        count = Counter(value for row in values for value in row)
        names = sorted(value for value, number in count.items() if number >= LEAST)
        place = {value: n for n, value in enumerate(names)}
        kind: list[int] = []
        item: list[int] = []
        for number, row in enumerate(values):
            mine = [place[value] for value in row if value in place]
            if not mine:
                mine = [len(names)]
                names.append("")
            kind += mine
            item += [number] * len(mine)
        ones = np.ones(len(kind), np.float32)
        return cls(names, sparse.csr_matrix((ones, (kind, item)), (len(names), len(items))))

    @cached_property
    def _value_means(self) -> sparse.csr_matrix:
        """Float32 ``[V, I]``; each row sums to 1."""
        return _mean_rows(self.items)

    @cached_property
    def _item_means(self) -> sparse.csr_matrix:
        """Float32 ``[I, V]``; each row sums to 1."""
        return _mean_rows(sparse.csr_matrix(self.items.T))

    def of_values(self, similarity: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of each value's items, float32 ``[V]``.

        Args:
            similarity: of each item to a request, float32 ``[I]``, not negative.
        """
        return np.asarray(self._value_means @ similarity, np.float32)

    def spread(self, similarity: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of each item's values, float32 ``[I]``; argument as of :meth:`of_values`."""
        return np.asarray(self._item_means @ self.of_values(similarity), np.float32)

    def near(self, similarity: NDArray[np.float32], item: int, share: float) -> str | None:
        """The item's value that is nearest to a request.

        Args:
            similarity: as of :meth:`of_values`.
            item: item index.
            share: of the similarity of the nearest value of all, which the item's must have.

        Returns:
            Its name, empty for an item that stands for itself; None if no value of the item is near enough.
        """
        values = self.of_values(similarity)
        start, stop = self._item_means.indptr[item : item + 2]
        mine = self._item_means.indices[start:stop]
        best = int(mine[int(np.argmax(values[mine]))])
        return self.names[best] if values[best] >= share * values.max() > 0 else None


def kind_attribute(items: pd.DataFrame) -> str | None:
    """The attribute with the fewest different values, which says best what kind of thing an item is.

    Returns:
        None if no attribute has two values.
    """
    columns = [column for column in items.columns if column != "title"]
    sizes = {c: len({value for row in items[c] for value in row}) for c in columns}
    return min((c for c in columns if sizes[c] > 1), key=lambda c: sizes[c], default=None)


def _mean_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix with rows that sum to 1."""
    count = np.maximum(np.diff(matrix.indptr), 1).astype(np.float32)
    data = matrix.data / np.repeat(count, np.diff(matrix.indptr))
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape)
