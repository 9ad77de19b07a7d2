"""A check that a graph knows nothing beyond its training interactions.

It counts again, from the sequences and by other means than the builder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lkgrag.config import KGConfig
from lkgrag.errors import DataError
from lkgrag.kg.base import Training
from lkgrag.kg.naming import base_name
from lkgrag.kg.sources.making import make_edges
from lkgrag.kg.sources.resolver import relation_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.data.interactions import Interactions
    from lkgrag.kg.base import Edges

Pair = tuple[int, int]


class Leak(NamedTuple):
    """Edges of one type that hold more than training gives.

    Attributes:
        edge_type: of them.
        edges: how many.
        first: ends of the first one.
        held: users or interactions that it holds.
        allowed: that training gives.
    """

    edge_type: EdgeType
    edges: int
    first: Pair
    held: int
    allowed: int

    def __str__(self) -> str:
        """In words."""
        return (
            f"{' '.join(self.edge_type)}: {self.edges} edges hold more than training has, "
            f"the first {self.first} with {self.held} for {self.allowed}"
        )


def find_leaks(
    data: HeteroData,
    interactions: Interactions,
    train_end: NDArray[np.int64],
    config: KGConfig | None = None,
) -> list[Leak]:
    """What a graph holds that the training interactions cannot give.

    Args:
        data: a graph of :func:`~lkgrag.kg.build_kg`.
        interactions: the sequences that it was built from.
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        config: that it was built with; by default the widest options. Only custom relations that
            cannot be counted by other means depend on it.

    Returns:
        One entry for each edge type with such edges; empty if there are none.
    """
    sequences = [interactions.sequence(u)[:end].tolist() for u, end in enumerate(train_end)]
    longest = max([1, *map(len, sequences)])
    config = config or KGConfig(behaviour_min=1, co_rated_top=max(1, interactions.num_items))
    window = int(data.get("follow_window", 0)) or longest
    config = replace(config, follow_window=window)
    leaks = []
    for edge_type in data.edge_types:
        base = base_name(edge_type[1])
        source = relation_sources().get(base)
        if source is None or source.made_of != "interactions":
            continue
        held = _held(data, edge_type, backward=edge_type[1] != base)
        allowed = source.recount(sequences, held, config)
        if allowed is None:
            training = Training.of(interactions, train_end)
            allowed = _counts(make_edges(source, training, config))
        over = [pair for pair, number in held.items() if number > allowed.get(pair, 0)]
        if over:
            first = over[0]
            number = int(held[first])
            leaks.append(Leak(edge_type, len(over), first, number, int(allowed.get(first, 0))))
    return leaks


def check_no_leak(
    data: HeteroData,
    interactions: Interactions,
    train_end: NDArray[np.int64],
    config: KGConfig | None = None,
) -> None:
    """Refuse a graph that holds more than the training interactions give.

    The arguments are those of :func:`find_leaks`.

    Raises:
        DataError: naming the first edge type and edge.
    """
    leaks = find_leaks(data, interactions, train_end, config)
    if leaks:
        raise DataError(f"the graph knows more than its training part: {leaks[0]}; build it again")


def _held(data: HeteroData, edge_type: EdgeType, backward: bool) -> dict[Pair, float]:
    """Users behind each pair of an edge type, or number of its edges where it has no counts."""
    store = data[edge_type]
    ends = store.edge_index.T.tolist()
    pairs = [(b, a) for a, b in ends] if backward else [(a, b) for a, b in ends]
    if "count" not in store:
        # An interaction that occurs once may be an edge once.
        return dict(Counter(pairs))
    held: dict[Pair, float] = {}
    for pair, count in zip(pairs, store["count"].tolist(), strict=True):
        held[pair] = held.get(pair, 0) + count
    return held


def _counts(edges: Edges) -> Mapping[Pair, int]:
    """Users behind each pair of new edges, or number of edges where they have no counts."""
    pairs = [(a, b) for a, b in edges.index.T.tolist()]
    if edges.count is None:
        return Counter(pairs)
    return dict(zip(pairs, edges.count.tolist(), strict=True))
