"""A check that a graph knows nothing beyond its training interactions.

It counts again, from the sequences and by other means than the builder.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lkgrag.errors import DataError
from lkgrag.kg.naming import base_name
from lkgrag.kg.vocabulary import CO_RATED, FOLLOWED_BY, RATED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.data.interactions import Interactions


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
    first: tuple[int, int]
    held: int
    allowed: int

    def __str__(self) -> str:
        """In words."""
        return (
            f"{' '.join(self.edge_type)}: {self.edges} edges hold more than training has, "
            f"the first {self.first} with {self.held} for {self.allowed}"
        )


def find_leaks(
    data: HeteroData, interactions: Interactions, train_end: NDArray[np.int64]
) -> list[Leak]:
    """What a graph holds that the training interactions cannot give.

    Args:
        data: a graph of :func:`~lkgrag.kg.build_kg`.
        interactions: the sequences it was built from.
        train_end: int64 ``[num_users]``, number of training interactions of each user.

    Returns:
        One entry for each edge type with such edges; empty if there are none.
    """
    sequences = [interactions.sequence(u)[:end].tolist() for u, end in enumerate(train_end)]
    window = int(data.get("follow_window", 0)) or None
    leaks = []
    for edge_type in data.edge_types:
        base = base_name(edge_type[1])
        if base not in (RATED.name, FOLLOWED_BY.name, CO_RATED.name):
            continue
        store = data[edge_type]
        pairs = store.edge_index.T.tolist()
        if edge_type[1] != base:
            pairs = [[b, a] for a, b in pairs]
        held = np.ones(len(pairs)) if base == RATED.name else store["count"].cpu().numpy()
        if base == RATED.name:
            # An interaction that occurs once may be an edge once.
            seen = Counter((a, b) for a, b in pairs)
            pairs, held = [list(p) for p in seen], np.array(list(seen.values()))
        allowed = _allowed(base, sequences, pairs, window)
        over = [k for k, (a, b) in enumerate(pairs) if held[k] > allowed.get((a, b), 0)]
        if over:
            a, b = pairs[over[0]]
            count = int(held[over[0]])
            leaks.append(Leak(edge_type, len(over), (a, b), count, allowed.get((a, b), 0)))
    return leaks


def check_no_leak(
    data: HeteroData, interactions: Interactions, train_end: NDArray[np.int64]
) -> None:
    """Refuse a graph that holds more than the training interactions give.

    Raises:
        DataError: naming the first edge type and edge.
    """
    leaks = find_leaks(data, interactions, train_end)
    if leaks:
        raise DataError(f"the graph knows more than its training part: {leaks[0]}; build it again")


def _allowed(
    relation: str, sequences: list[list[int]], pairs: list[list[int]], window: int | None
) -> dict[tuple[int, int], int]:
    """How often training gives each pair: interactions of (user, item), or users of (item, item)."""
    out: Counter[tuple[int, int]] = Counter()
    if relation == CO_RATED.name:
        users: dict[int, set[int]] = {}
        for user, sequence in enumerate(sequences):
            for item in sequence:
                users.setdefault(item, set()).add(user)
        nobody: set[int] = set()
        return {(a, b): len(users.get(a, nobody) & users.get(b, nobody)) for a, b in pairs}
    for user, sequence in enumerate(sequences):
        if relation == RATED.name:
            out.update((user, item) for item in sequence)
            continue
        for_user: set[tuple[int, int]] = set()
        for place, item in enumerate(sequence):
            end = None if window is None else place + 1 + window
            for_user.update((item, later) for later in sequence[place + 1 : end])
        out.update(for_user)
    return out
