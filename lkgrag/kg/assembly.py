"""Nodes and edges put into a ``HeteroData``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.kg.base import REVERSE
from lkgrag.kg.names import Names
from lkgrag.utils.arrays import distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.kg.sources.columns import Links


def add_nodes(
    data: HeteroData, node_type: str, names: Sequence[str], named: bool | None = None
) -> None:
    """Add a node type, or replace it.

    Args:
        data: the graph.
        node_type: of the nodes.
        names: of all nodes.
        named: whether people can read the names; None where that is not stored.
    """
    # By subscription, a node type with the name of a relation would be taken for its edge type.
    store = data.get_node_store(node_type)
    store.name = Names(names)
    store.num_nodes = len(names)
    if named is not None:
        store.named = named


def add_edges(
    data: HeteroData,
    edge_type: EdgeType,
    index: NDArray[np.int64],
    attributes: dict[str, NDArray],
) -> None:
    """Add an edge type, its edges sorted by source, then target.

    Args:
        data: the graph.
        edge_type: of the edges.
        index: int64 ``[2, E]``.
        attributes: values of the edges by name, ``[E]`` each.
    """
    # One key, which is often sorted already; then this takes a single pass.
    order = np.argsort(index[0] * (int(index[1].max(initial=0)) + 1) + index[1], kind="stable")
    store = data[edge_type]
    store.edge_index = torch.from_numpy(np.ascontiguousarray(index[:, order]))
    for name, values in attributes.items():
        store[name] = torch.from_numpy(np.ascontiguousarray(values[order]))


def add_both_ways(
    data: HeteroData,
    edge_type: EdgeType,
    index: NDArray[np.int64],
    attributes: dict[str, NDArray],
) -> None:
    """Add an edge type and its inverse, which has the same attributes."""
    source, relation, target = edge_type
    add_edges(data, edge_type, index, attributes)
    add_edges(data, (target, REVERSE + relation, source), index[::-1], attributes)


def add_links(data: HeteroData, group: list[Links], known: HeteroData | None = None) -> None:
    """Add links of one edge type and their inverse, with a node type for their values.

    Args:
        data: the graph.
        group: links of one edge type.
        known: a graph whose values keep their nodes; None for none.
    """
    owner, relation = group[0].owner, group[0].relation
    source = np.concatenate([link.source for link in group])
    target = np.concatenate([link.target for link in group])
    if relation.node != "item":
        named = all(link.named for link in group)
        target = _add_values(data, relation.node, target, named, known)
    width = data[relation.node].num_nodes
    pairs = distinct(source.astype(np.int64) * width + target.astype(np.int64))
    index = np.stack([pairs // width, pairs % width]) if width else np.zeros((2, 0), np.int64)
    attributes: dict[str, NDArray] = {}
    if relation.node == "item":
        attributes["weight"] = np.ones(index.shape[1], np.float32)
    add_both_ways(data, (owner, relation.name, relation.node), index, attributes)


def _add_values(
    data: HeteroData, node_type: str, values: NDArray, named: bool, known: HeteroData | None
) -> NDArray[np.int64]:
    """Index values by sorted name; a node type that two relations share grows.

    Returns:
        The node of each value, int64 ``[E]``.
    """
    first = data if node_type in data.node_types else known
    is_there = first is not None and node_type in first.node_types
    old = list(first[node_type].name) if first is not None and is_there else []
    index = {name: i for i, name in enumerate(old)}
    for name in sorted(set(values.tolist()) - index.keys()):
        index[name] = len(index)
    add_nodes(data, node_type, list(index), named)
    return np.array([index[value] for value in values.tolist()], np.int64)
