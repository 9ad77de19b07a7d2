"""The graph as it stood at a time."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


def as_of(data: HeteroData, time: float) -> HeteroData:
    """The graph with only those edges that stood strictly before a time.

    An edge without a ``time``, or whose time is NaN, always stood. ``rated`` edges have the time of
    the interaction; behaviour edges, in a graph built with ``kg.temporal``, the time of the
    interaction by which ``kg.behaviour_min`` users had made them. ``weight`` and ``count`` stay those
    of the whole training part.

    Args:
        data: a graph of :func:`~lkgrag.kg.build_kg`.
        time: in the unit of the interactions.

    Returns:
        A new graph with the same nodes and edge types.
    """
    out = copy.copy(data)
    for edge_type in data.edge_types:
        store = data[edge_type]
        if "time" not in store:
            continue
        keep = ~(store.time >= time)
        for name, value in store.items():
            dim = 1 if name == "edge_index" else 0
            out[edge_type][name] = value[:, keep] if dim else value[keep]
    return out
