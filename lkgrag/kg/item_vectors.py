"""Vectors of items, to tell how alike two of them are: by their attributes, or by their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.kg.base import REVERSE
from lkgrag.kg.reserved import NODES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

#: What vectors are made of.
ATTRIBUTES, TEXT = "attributes", "text"


@dataclass(frozen=True)
class ItemVectors:
    """One vector an item, of length 1; an item of which nothing is known has length 0.

    Attributes:
        rows: float64 ``[I, V]``.
        made_of: :data:`ATTRIBUTES`, or :data:`TEXT`, the encoder's vectors of the items' texts.
    """

    rows: sparse.csr_matrix
    made_of: str

    @classmethod
    def of(cls, data: HeteroData) -> ItemVectors | None:
        """The vectors of a graph's items.

        Every relation from items to values, as ``has_genre``, is an attribute. Within an attribute a value counts
        by its inverse document frequency (Spärck Jones 1972; smoothed as in scikit-learn). Each attribute that an
        item has then counts alike: 20 actors do not outweigh one director. Where items have no attributes, their
        vectors are those of the encoder (``text.encoder``).

        Args:
            data: the graph.

        Returns:
            None where items have neither attributes nor vectors of their texts.
        """
        number = int(data["item"].num_nodes)
        blocks = [
            _unit_rows(_weigh_values(data, edge_type, number))
            for edge_type in data.edge_types
            if edge_type[0] == "item"
            and edge_type[2] not in NODES
            and not edge_type[1].startswith(REVERSE)
        ]
        blocks = [block for block in blocks if block.nnz]
        if blocks:
            return cls(_unit_rows(sparse.csr_matrix(sparse.hstack(blocks))), ATTRIBUTES)
        if "x" not in data["item"]:
            return None
        rows = sparse.csr_matrix(data["item"].x.cpu().numpy().astype(np.float64))
        return cls(_unit_rows(rows), TEXT) if rows.nnz else None

    def similarity(self, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """How alike items are: the cosine of their vectors, 0 where it is negative.

        Args:
            items: int64 ``[N]``.

        Returns:
            float64 ``[N, N]``, in [0, 1]; 0 for two items that share nothing, or of which nothing is known.
        """
        rows = self.rows[items]
        return np.clip((rows @ rows.T).toarray(), 0.0, 1.0)

    def distances(self, lists: NDArray[np.int64]) -> NDArray[np.float64]:
        """The mean distance of each list's pairs of items, 1 less the cosine of their vectors.

        It is the intra-list distance of Smyth and McClave (2001) and Ziegler et al. (2005).

        Args:
            lists: int64 ``[B, k]``, no padding, ``k`` at least 2.

        Returns:
            float64 ``[B]``: in [0, 1] for attributes, and in [0, 2] for texts, whose cosines may be negative.
        """
        number, width = lists.shape
        shape = (number, self.rows.shape[0])
        ones, row = np.ones(lists.size), np.repeat(np.arange(number), width)
        shown = sparse.csr_matrix((ones, (row, lists.ravel())), shape)
        # The square of a sum of vectors holds each pair's product twice, and each vector's own square once.
        total = np.asarray((shown @ self.rows).power(2).sum(1)).ravel()
        own = np.asarray(shown @ np.asarray(self.rows.power(2).sum(1))).ravel()
        return np.asarray(1.0 - (total - own) / (width * (width - 1)))


def _weigh_values(
    data: HeteroData, edge_type: tuple[str, str, str], number: int
) -> sparse.csr_matrix:
    """Items by values of one attribute: the inverse document frequency where an item has the value."""
    item, value = data[edge_type].edge_index.cpu().numpy()
    # A graph of one's own need not say how many values there are.
    shape = (number, int(value.max(initial=-1)) + 1)
    has = sparse.csr_matrix((np.ones(len(item)), (item, value)), shape)
    # An edge that is there twice is one value.
    has.data[:] = 1.0
    frequency = np.bincount(has.indices, minlength=shape[1])
    weight = np.log((1 + number) / (1 + frequency)) + 1
    has.data *= weight[has.indices]
    return has


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix with rows of length 1; empty rows stay."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    per_row = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    out = matrix.copy()
    out.data *= np.repeat(per_row, np.diff(matrix.indptr))
    return out
