"""What a prompt says of an item beyond its title: values of its attributes, read off the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.kg.base import REVERSE
from lkgrag.text import pick_rarest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.data import HeteroData

#: Node types that hold no values of attributes.
NO_VALUES = ("item", "user")


def item_parts(data: HeteroData, titles: Sequence[object]) -> list[list[object]]:
    """The parts of each item's text: its title, then the rarest values of each attribute.

    A saved ranker holds the graph, so it reads the same texts. Values without readable names are left out, and so
    are relations that the graph lacks (``kg.exclude``).

    Args:
        data: the graph.
        titles: of the items, by index.
    """
    parts: list[list[object]] = [[title] for title in titles]
    for source, relation, target in data.edge_types:
        if source != "item" or target in NO_VALUES or relation.startswith(REVERSE):
            continue
        # By subscription, a node type with the name of a relation would be taken for its edge type.
        values = data.get_node_store(target)
        if not values.get("named", True):
            continue
        column: list[list[str]] = [[] for _ in parts]
        edges = data[source, relation, target].edge_index
        for item, value in zip(*edges.tolist(), strict=True):
            column[item].append(str(values.name[value]))
        for row, chosen in zip(parts, pick_rarest(column), strict=True):
            row += chosen
    return parts
