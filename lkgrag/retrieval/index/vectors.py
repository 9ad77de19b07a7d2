r"""The part of the fused score that is an inner product of a user's and an item's vector.

For an item that no count system knows beside the history, the fused score is *exactly* such a product. The logits of
``lrurec`` and ``text`` are products, popularity is a number of the item, and the counts are the same for all these items.
Weights that depend on an item's count :math:`n_j` are :math:`a + m \, c_j`, so each term stands twice: once as it is,
once times the item's commonness :math:`c_j`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.index.systems import Asked, IndexedSystems

#: Histories from which the usual size of queries follows, and their lengths.
SAMPLE, LENGTHS = 512, (1, 2, 4, 8, 16, 32)
#: Numbers of a vector are a multiple of this, so that it can be cut into parts.
MULTIPLE = 8


@dataclass(frozen=True)
class FusedVectors:
    """Vectors of items and queries, with ``score(j) = query . item(j) + constant`` for items without counts.

    Attributes:
        systems: the systems of the fused retriever.
        kept: bool ``[D]``, the numbers that any query uses.
        size: float32, the usual size of a query's numbers that are kept. Items are multiplied by it, and queries
            divided, so that an index keeps most of what counts most.
    """

    systems: IndexedSystems
    kept: NDArray[np.bool_]
    size: NDArray[np.float32]

    @classmethod
    def of(cls, systems: IndexedSystems, seed: int) -> FusedVectors:
        """Learn the usual size of queries from made-up histories, drawn by popularity.

        Args:
            systems: of the retriever.
            seed: of the histories.
        """
        rng = np.random.default_rng([seed, 0x1D])
        count = systems.popularity.astype(np.float64) + 1.0
        drawn = rng.choice(len(count), (SAMPLE, max(LENGTHS)), p=count / count.sum())
        histories = [row[: LENGTHS[n % len(LENGTHS)]] for n, row in enumerate(drawn)]
        queries = raw_queries(systems, systems.ask(histories))
        size = np.sqrt(np.mean(queries.astype(np.float64) ** 2, 0)).astype(np.float32)
        kept = size > 0
        return cls(systems, kept, size[kept])

    @property
    def width(self) -> int:
        """Numbers of a vector, with padding."""
        return -(-max(1, len(self.size)) // MULTIPLE) * MULTIPLE

    def items(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors of some items, float32 ``[stop - start, width]``."""
        out = np.zeros((stop - start, self.width), np.float32)
        raw = raw_items(self.systems, slice(start, stop))
        out[:, : len(self.size)] = raw[:, self.kept] * self.size
        return out

    def queries(self, asked: Asked) -> NDArray[np.float32]:
        """Vectors of histories, float32 ``[B, width]``."""
        raw = raw_queries(self.systems, asked)
        out = np.zeros((len(raw), self.width), np.float32)
        out[:, : len(self.size)] = raw[:, self.kept] / self.size
        return out


def raw_items(systems: IndexedSystems, part: slice) -> NDArray[np.float32]:
    """The numbers of items, float32 ``[N, D]``: terms, terms times commonness, and whether an item is new."""
    columns = [systems.log_popularity[part, None]]
    for system in systems.vectors:
        columns += [system.items[part], system.bias[part, None]]
    columns.append(np.ones_like(columns[0]))
    plain = np.concatenate(columns, 1)
    common = systems.commonness[part, None]
    is_new = (systems.popularity[part, None] == 0).astype(np.float32)
    return np.concatenate([plain, common * plain, is_new], 1)


def raw_queries(systems: IndexedSystems, asked: Asked) -> NDArray[np.float32]:
    """The numbers of queries, float32 ``[B, D]``, in the order of :func:`raw_items`."""
    halves = []
    for weights in (asked.rare, asked.more):
        of_popularity = (
            weights["popularity"] + asked.popularity_in_graph * weights["graph_itemitem"]
        )
        columns = [of_popularity[:, None]]
        constant = (
            weights["itemitem"] * asked.itemitem_floor
            + weights["graph_itemitem"] * asked.graph_floor
        )
        for system in systems.vectors:
            weight = weights[system.name][:, None]
            columns += [weight * asked.states[system.name], weight]
            constant = constant - weight[:, 0] * asked.normalisers[system.name]
        # Only beside commonness does it say anything of an item.
        is_constant = weights is asked.rare
        columns.append(np.zeros_like(constant)[:, None] if is_constant else constant[:, None])
        halves += columns
    new = np.full((len(asked.histories), 1), systems.new_items, np.float32)
    return np.concatenate([*halves, new], 1).astype(np.float32)
