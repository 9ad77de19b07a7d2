"""A graph of one's own, put beside the relations of this package."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.kg.assembly import add_both_ways, add_nodes
from lkgrag.kg.base import REVERSE
from lkgrag.kg.naming import snake, triple_relation
from lkgrag.kg.safe_names import NODES, is_relation_taken, safe_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.data.own_graph import OwnGraph


def named_graph(
    graph: OwnGraph, data: HeteroData, relations: Iterable[str], nodes: Iterable[str]
) -> OwnGraph:
    """Give node types and relations names that are in no use, and let edges lead away from the items.

    Args:
        graph: as it was given.
        data: the graph that it will be put in; none of its attributes may be the name of a node type.
        relations: names that are taken.
        nodes: names of node types that are taken.
    """
    taken = {*nodes, *NODES}
    types = {}
    for node_type in graph.counts:
        types[node_type] = _free(
            safe_node(snake(node_type)), lambda n: n in taken or hasattr(data, n)
        )
        taken.add(types[node_type])
    used = set(relations)
    edges: dict[EdgeType, NDArray[np.int64]] = {}
    weights = {}
    for (source, relation, target), index in graph.edges.items():
        ends = types.get(source, source), types.get(target, target)
        # `directed` of a person to an item is `directed_by` of the item to the person.
        is_flipped = ends[1] in NODES and ends[0] not in NODES
        name = triple_relation(relation, item_is_tail=True).name if is_flipped else snake(relation)
        name = _free(
            name.removeprefix(REVERSE),
            lambda n: n in used or n in taken or is_relation_taken(n) or hasattr(data, n),
        )
        used.add(name)
        key = (ends[1], name, ends[0]) if is_flipped else (ends[0], name, ends[1])
        edges[key] = index[::-1] if is_flipped else index
        if (source, relation, target) in graph.weights:
            weights[key] = graph.weights[source, relation, target]
    return replace(
        graph,
        names={types[t]: n for t, n in graph.names.items()},
        counts={types[t]: n for t, n in graph.counts.items()},
        edges=edges,
        weights=weights,
    )


def _free(name: str, is_taken: Callable[[str], bool]) -> str:
    """The name, with a number if it is taken."""
    number, free = 2, name
    while is_taken(free):
        free, number = f"{name}_{number}", number + 1
    return free


def add_own_graph(
    data: HeteroData, graph: OwnGraph, keep: Callable[[str], bool], has_users: bool
) -> None:
    """Add the nodes and edges, each relation with its inverse.

    Args:
        data: has items, and users where ``has_users``.
        graph: with names of :func:`named_graph`.
        keep: whether a relation is wanted, by its name.
        has_users: whether users are nodes.
    """
    wanted = {
        t: i
        for t, i in graph.edges.items()
        if keep(t[1]) and (has_users or "user" not in (t[0], t[2]))
    }
    for node_type, count in graph.counts.items():
        if any(node_type in (t[0], t[2]) for t in wanted):
            names = graph.names[node_type]
            shown = names if names is not None else [f"{node_type} {n}" for n in range(count)]
            add_nodes(data, node_type, shown, named=names is not None)
    for edge_type, index in wanted.items():
        index, first = np.unique(index, axis=1, return_index=True)
        attributes = {}
        if edge_type[0] == edge_type[2] == "item":
            given = graph.weights.get(edge_type)
            ones = np.ones(index.shape[1], np.float32)
            attributes["weight"] = ones if given is None else given[first]
        add_both_ways(data, edge_type, index, attributes)
