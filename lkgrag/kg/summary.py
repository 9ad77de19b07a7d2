"""What a graph holds, as rows for display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lkgrag.kg.base import REVERSE
from lkgrag.kg.naming import phrase

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


@dataclass(frozen=True)
class KGRow:
    """One line of the table.

    Attributes:
        kind: ``node``, ``edge``, ``merged`` or ``left out``.
        name: the type, as ``item`` or ``item -directed_by-> director``.
        count: nodes or edges; 0 for merges.
        words: the relation's phrase, or a remark.
    """

    kind: str
    name: str
    count: int
    words: str


def kg_table(data: HeteroData) -> list[KGRow]:
    """Node types, edge types (inverses, which have equal counts, in one row), merges, and what was left out."""
    rows = []
    for node in data.node_types:
        words = "" if data[node].get("named", True) else "without names"
        rows.append(KGRow("node", node, int(data[node].num_nodes), words))
    for edge in data.edge_types:
        if edge[1].startswith(REVERSE):
            continue
        name = f"{edge[0]} -{edge[1]}-> {edge[2]}"
        rows.append(KGRow("edge", name, data[edge].num_edges, phrase(edge)))
    rows += [KGRow("merged", text, 0, "") for text in data.get("merged", [])]
    rows += [KGRow("left out", name, n, "") for name, n in data.get("left_out", {}).items()]
    return rows
