"""Count systems by item lists: the rows of the history's items, merged. No other item is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.base import UNIFORM
from lkgrag.retrieval.graph import COUNTS, LASTING, POPULAR
from lkgrag.retrieval.products import HistoryWeights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from scipy import sparse

    from lkgrag.retrieval.graph import GraphRetriever
    from lkgrag.retrieval.itemitem import ItemItemRetriever


@dataclass(frozen=True)
class CountRows:
    """Counts of ``B`` histories, with those items only that have any.

    Attributes:
        key: int64 ``[N]``, ``row * I + item``; rising.
        value: float32 ``[N]``, the counts.
        total: float64 ``[B]``, their sums.
        num_items: ``I``.
    """

    key: NDArray[np.int64]
    value: NDArray[np.float32]
    total: NDArray[np.float64]
    num_items: int

    @classmethod
    def of(cls, weights: HistoryWeights, factors: Sequence[sparse.csr_matrix]) -> CountRows:
        """Multiply weights with one or two sparse factors, as :meth:`HistoryWeights.times` does."""
        product = weights.matrix()
        for factor in factors:
            product = product @ factor
        product.sort_indices()
        size = product.shape[1]
        row = np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
        total = np.bincount(row, product.data, product.shape[0]).astype(np.float64)
        is_counted = product.data > 0
        key = row * size + product.indices.astype(np.int64)
        return cls(key[is_counted], product.data[is_counted], total, size)

    @cached_property
    def _share(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Factor and addend that turn counts into shares, as of :func:`~lkgrag.retrieval.base.log_shares`."""
        counted = np.where(self.total > 0, 1.0 - UNIFORM, 0.0)
        factor = (counted / np.where(self.total > 0, self.total, 1.0)).astype(np.float32)
        return factor, ((1.0 - counted) / self.num_items).astype(np.float32)

    @cached_property
    def floor(self) -> NDArray[np.float32]:
        """The logarithm of the share of an item without counts, float32 ``[B]``."""
        return np.log(self._share[1])

    def shares(self, row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logarithms of the shares of pairs, float32 ``[N]``."""
        factor, addend = self._share
        return np.log(self._counts(row, item) * factor[row] + addend[row])

    def _counts(self, row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Counts of pairs, float32 ``[N]``; 0 where there are none."""
        if not len(self.key):
            return np.zeros(len(item), np.float32)
        key = row * self.num_items + item
        place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[place] == key, self.value[place], np.float32(0))


@dataclass(frozen=True)
class GraphRows:
    """The components of ``graph_itemitem`` for ``B`` histories.

    Attributes:
        weights: of the components, in their order.
        rows: the counts of each but popularity.
        log_popularity: float32 ``[I]``.
        mass: the logarithm of the sum of what popularity alone gives to all items.
        number: ``B``.
    """

    weights: dict[str, float]
    rows: dict[str, CountRows]
    log_popularity: NDArray[np.float32]
    mass: float
    number: int

    @property
    def of_popularity(self) -> np.float32:
        """The weight of popularity."""
        return np.float32(self.weights.get(POPULAR, 0.0))

    @cached_property
    def key(self) -> NDArray[np.int64]:
        """Pairs ``row * I + item`` with any count, int64, rising."""
        return merged_keys([rows.key for rows in self.rows.values()])

    def _scores(self, row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weighted sums of the components, float32 ``[N]``."""
        total = np.zeros(len(item), np.float32)
        for name, weight in self.weights.items():
            feature = (
                self.log_popularity[item] if name == POPULAR else self.rows[name].shares(row, item)
            )
            total += np.float32(weight) * feature
        return total

    @cached_property
    def _lowest(self) -> NDArray[np.float64]:
        """The score of an item without counts, without its popularity, float64 ``[B]``."""
        parts = [
            self.weights[name] * rows.floor.astype(np.float64) for name, rows in self.rows.items()
        ]
        return np.asarray(sum(parts, np.zeros(self.number)))

    @cached_property
    def _normaliser(self) -> NDArray[np.float64]:
        """The logarithm of the sum over all items, exactly, float64 ``[B]``.

        Items without counts have what popularity gives them; the sum of that is known for the whole catalogue. Those with
        counts add what they have more.
        """
        size = len(self.log_popularity)
        row, item = np.divmod(self.key, size)
        all_low = self._lowest + self.mass
        low = self._lowest[row] + self.of_popularity * self.log_popularity[item].astype(np.float64)
        more = np.exp(self._scores(row, item) - all_low[row]) - np.exp(low - all_low[row])
        return np.asarray(all_low + np.log1p(np.bincount(row, more, self.number)))

    @cached_property
    def floor(self) -> NDArray[np.float32]:
        """The evidence of an item without counts, without its popularity, float32 ``[B]``."""
        return (self._lowest - self._normaliser).astype(np.float32)

    def evidence(self, row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.float32]:
        """Log-probabilities of pairs, float32 ``[N]``."""
        return self._scores(row, item) - self._normaliser.astype(np.float32)[row]


def itemitem_rows(system: ItemItemRetriever, histories: list[NDArray[np.int64]]) -> CountRows:
    """The counts of ``itemitem``."""
    return CountRows.of(
        HistoryWeights.of(histories, system.decay, system.num_items), [system.weight]
    )


def graph_rows(
    system: GraphRetriever,
    histories: list[NDArray[np.int64]],
    log_popularity: NDArray[np.float32],
    mass: float,
) -> GraphRows:
    """The counts of the components of ``graph_itemitem`` that have a weight.

    Args:
        system: fitted.
        histories: item indices, oldest first.
        log_popularity: float32 ``[I]``.
        mass: as of :class:`GraphRows`.
    """
    latest = HistoryWeights.of(histories, system.decay, system.num_items)
    whole = HistoryWeights.of(histories, 1.0, system.num_items)
    used = {n: system.weights[n] for n in system.components if system.weights.get(n, 0.0) > 0}
    rows = {
        name: CountRows.of(
            whole if name.endswith(LASTING) else latest,
            [system.itemitem.weight]
            if name == COUNTS
            else system.relations[name.removesuffix(LASTING)],
        )
        for name in used
        if name != POPULAR
    }
    return GraphRows(used, rows, log_popularity, mass, len(histories))


def merged_keys(keys: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Each key of several lists once, rising; each list is rising and has a key once."""
    some = [part for part in keys if len(part)]
    if len(some) < 2:
        return some[0] if some else np.zeros(0, np.int64)
    # Runs that rise: a stable sort merges them.
    key = np.sort(np.concatenate(some), kind="stable")
    is_first = np.ones(len(key), np.bool_)
    np.not_equal(key[1:], key[:-1], out=is_first[1:])
    return key[is_first]
