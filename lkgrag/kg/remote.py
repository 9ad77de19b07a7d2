"""A graph behind PyG's remote interfaces, ``FeatureStore`` and ``GraphStore``, as paths read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data.remote_backend_utils import num_nodes

from lkgrag.errors import DataError
from lkgrag.kg.base import REVERSE

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import FeatureStore
    from torch_geometric.data.graph_store import EdgeAttr, GraphStore
    from torch_geometric.typing import EdgeType


@dataclass
class _Nodes:
    num_nodes: int


@dataclass
class _Edges:
    edge_index: Tensor
    weight: Tensor | None = None

    def __contains__(self, name: str) -> bool:
        return name == "weight" and self.weight is not None


class RemoteKG:
    """Reads relations from stores, one at a time, and only when they are asked for.

    Nodes are named by their index in the stores; the node type ``item`` must be there. A relation without an
    inverse in the store is read in both directions (``rev_``). The feature store's edge attribute
    ``weight``, in (0, 1], weighs relations between items; without it all edges weigh 1.

    Args:
        feature_store: of edge weights; may be None.
        graph_store: of the edges, in COO or CSR layout.

    Attributes:
        edge_types: those of the store and their inverses, by name.
        node_types: in the order of their first appearance.

    Raises:
        DataError: the store has no relation of an ``item``, or does not know its number of nodes.
    """

    def __init__(self, feature_store: FeatureStore | None, graph_store: GraphStore) -> None:
        self.features, self.graph = feature_store, graph_store
        self._attr: dict[EdgeType, EdgeAttr] = {}
        self._size: dict[str, int] = {}
        for attr in graph_store.get_all_edge_attrs():
            # Of several layouts the one that needs no sorting.
            other = self._attr.get(attr.edge_type)
            if other is None or attr.layout.value == "csr":
                self._attr[attr.edge_type] = attr
            for place, node in enumerate(attr.edge_type[::2]):
                size = self._num_nodes(node) if attr.size is None else attr.size[place]
                self._size[node] = max(self._size.get(node, 0), int(size))
        if "item" not in self._size:
            raise DataError(
                f"the graph store has no node type 'item', only {', '.join(self._size) or 'nothing'}"
            )
        self.node_types = list(self._size)
        self.edge_types: list[EdgeType] = []
        # Stores list their relations in whatever order; paths of equal worth go by this one.
        for source, relation, target in sorted(self._attr):
            self.edge_types.append((source, relation, target))
            back = (target, REVERSE + relation, source)
            if back not in self._attr and not relation.startswith(REVERSE):
                self.edge_types.append(back)

    def stored(self, edge_type: EdgeType) -> tuple[EdgeType, bool]:
        """The edge type of the store that a type is read from, and whether it is read backwards."""
        if edge_type in self._attr:
            return edge_type, False
        return (edge_type[2], edge_type[1].removeprefix(REVERSE), edge_type[0]), True

    def _num_nodes(self, node: str) -> int:
        """Number of nodes of a type, as PyG finds it: from other edges, or from features."""
        try:
            number: int = num_nodes(self.features, self.graph, node)
        except (ValueError, AttributeError):
            raise DataError(
                f"the stores do not tell how many nodes {node} has: give `size` when the edges are put"
            ) from None
        return number

    def get(self, name: str, default: Any = None) -> Any:
        """Stores have no settings of a graph, so this is always the default."""
        return default

    def __getitem__(self, key: str | EdgeType) -> Any:
        """The nodes or edges of a type; edges are read from the store."""
        if isinstance(key, str):
            return _Nodes(self._size[key])
        forward, is_back = self.stored(key)
        edges = self._read(self._attr[forward])
        return _Edges(edges.flip(0) if is_back else edges, self._weight(forward))

    def _read(self, attr: EdgeAttr) -> Tensor:
        row, column = self.graph.get_edge_index(attr)
        if attr.layout.value == "csr":
            row = torch.repeat_interleave(torch.arange(len(row) - 1), row.diff())
        elif attr.layout.value == "csc":
            column = torch.repeat_interleave(torch.arange(len(column) - 1), column.diff())
        return torch.stack([row, column])

    def _weight(self, edge_type: EdgeType) -> Tensor | None:
        if self.features is None or edge_type[0] != edge_type[2]:
            return None
        stored = {(a.group_name, a.attr_name) for a in self.features.get_all_tensor_attrs()}
        if (edge_type, "weight") not in stored:
            return None
        weight: Tensor = self.features.get_tensor(
            group_name=edge_type, attr_name="weight", index=None
        )
        return weight.flatten()
