"""A graph that grows with its data, for what was trained on it: the same types of nodes and edges, more of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import DataError
from lkgrag.kg.builder import build_kg

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions


def grow_kg(
    known: HeteroData, interactions: Interactions, config: KGConfig
) -> tuple[HeteroData, list[str]]:
    """Build the graph of grown data; everything in it is counted anew, on all interactions.

    Nodes that ``known`` has keep their indices, and new ones follow. Types of nodes and edges are those of
    ``known``, in its order.

    Args:
        known: the graph of before.
        interactions: all that is known now, of which ``known`` has the first users and items.
        config: that ``known`` was built with.

    Returns:
        The graph, and sentences on relations that are left out, because ``known`` lacks them.

    Raises:
        DataError: a relation of ``known`` is not among the new data's, because triples have turned it into another.
        ConfigError: as :func:`~lkgrag.kg.build_kg`.
    """
    data = build_kg(interactions, np.diff(interactions.indptr), config, known)
    types, before = set(data.edge_types), list(known.edge_types)
    lost = [edge_type for edge_type in before if edge_type not in types]
    if lost:
        raise DataError(
            f"the new triples or attributes turn the relation {_name(lost[0])} into another one, which nothing was "
            "trained on; leave them out, or train again"
        )
    extra = [edge_type for edge_type in data.edge_types if edge_type not in set(before)]
    for edge_type in extra:
        del data[edge_type]
    for node_type in [t for t in data.node_types if t not in known.node_types]:
        del data[node_type]
    names = sorted({_name(e) for e in extra if not e[1].startswith("rev_")})
    told = (
        [f"relations that the ranker was not trained with are left out: {', '.join(names)}"]
        if names
        else []
    )
    return _in_order(data, known), told


def _name(edge_type: EdgeType) -> str:
    source, relation, target = edge_type
    return f"'{relation}' ({source} to {target})"


def _in_order(data: HeteroData, known: HeteroData) -> HeteroData:
    """The same graph with the types of nodes and edges in the order of another one."""
    if data.edge_types == known.edge_types and data.node_types == known.node_types:
        return data
    out = data.__class__()
    for node_type in known.node_types:
        out.get_node_store(node_type).update(data.get_node_store(node_type))
    for edge_type in known.edge_types:
        out[edge_type].update(data[edge_type])
    for name, value in data._global_store.items():
        out[name] = value
    return out
