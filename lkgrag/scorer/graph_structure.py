"""The graph as neural networks on it use it: which edges pass messages in which layer, and their normalisation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.utils import degree

from lkgrag.scorer.features import log_degrees, standardised

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

ITEM, USER = "item", "user"


@dataclass(frozen=True)
class Messages:
    """The edges of one type that pass messages, sorted by target.

    Attributes:
        index: int64 ``[2, E]``, sources and targets.
        weight: float32 ``[E]``, above 0.
        adjacency: float32 ``[targets, sources]``, compressed rows that sum to 1 or have no edge. Its product with the
            sources' vectors is the weighted mean over each target's neighbours.
    """

    index: Tensor
    weight: Tensor
    adjacency: Tensor


@dataclass(frozen=True)
class LayerPlan:
    """What one layer computes.

    Attributes:
        targets: node types that get new vectors, in the order of the graph's.
        edges: edge types that pass messages to them, in the order of the graph's.
    """

    targets: list[NodeType]
    edges: list[EdgeType]

    @property
    def types(self) -> list[NodeType]:
        """Node types that are read or written, in the order of their first edge; targets first."""
        return list(dict.fromkeys([*self.targets, *(e[0] for e in self.edges)]))


def plan_layers(
    edge_types: Sequence[EdgeType], wanted: Iterable[NodeType], layers: int
) -> list[LayerPlan]:
    """Find what each layer must compute for the last one to give vectors of the wanted types.

    Whatever no wanted vector depends on is left out, so that no parameter stays without a gradient.

    Args:
        edge_types: those that may pass messages.
        wanted: node types whose vectors are read after the last layer.
        layers: number of layers.

    Returns:
        One plan a layer, the first one first.
    """
    plans: list[LayerPlan] = []
    needed = list(dict.fromkeys(wanted))
    for _ in range(layers):
        edges = [e for e in edge_types if e[2] in needed]
        # A type without incoming edges keeps its vectors.
        targets = [t for t in needed if any(e[2] == t for e in edges)]
        plans.append(LayerPlan(targets, edges))
        needed = list(dict.fromkeys([*needed, *(e[0] for e in edges)]))
    return plans[::-1]


def find_messages(data: HeteroData, edge_type: EdgeType, most: int) -> Messages:
    """Choose the edges of a type that pass messages.

    Each target hears its ``most`` heaviest edges; of equal ones the latest, then those of the lowest source. An
    attribute of a single item is left out, because it tells of no other item. KGAT filters such entities too.

    Args:
        data: the graph.
        edge_type: one of its types.
        most: edges that a target keeps.
    """
    store = data[edge_type]
    source, target = store.edge_index
    sizes = [int(data[t].num_nodes or 0) for t in (edge_type[0], edge_type[2])]
    weight = torch.ones(len(source), device=source.device)
    if "weight" in store:
        weight = store.weight.float().clamp(min=torch.finfo(torch.float32).tiny)
    time = store.time.double().nan_to_num(0.0) if "time" in store else torch.zeros_like(weight)
    keep = _are_shared(edge_type, source, target, sizes)
    source, target, weight, time = (x[keep] for x in (source, target, weight, time))
    order = torch.arange(len(source), device=source.device)
    # Sorting by each key in turn, the last one first, keeps the order of the earlier ones.
    for key, is_falling in ((source, False), (time, True), (weight, True), (target, False)):
        order = order[torch.sort(key[order], descending=is_falling, stable=True).indices]
    source, target, weight = source[order], target[order], weight[order]
    count = torch.bincount(target, minlength=sizes[1])
    place = torch.arange(len(target), device=target.device) - (count.cumsum(0) - count)[target]
    source, target, weight = (x[place < most] for x in (source, target, weight))
    total = torch.zeros(sizes[1], device=weight.device).index_add_(0, target, weight)
    adjacency = compressed(torch.stack([target, source]), weight / total[target], sizes[::-1])
    return Messages(torch.stack([source, target]), weight, adjacency)


def _are_shared(edge_type: EdgeType, source: Tensor, target: Tensor, sizes: list[int]) -> Tensor:
    """Which edges lead to or from an attribute of more than one item, or between other nodes, bool ``[E]``."""
    attributes = [end for end in (0, 2) if edge_type[end] not in (ITEM, USER)]
    keep = torch.ones(len(source), dtype=torch.bool, device=source.device)
    if len(attributes) == 1:
        end = attributes[0]
        nodes = source if end == 0 else target
        keep = degree(nodes, sizes[0 if end == 0 else 1])[nodes] > 1
    return keep


def compressed(index: Tensor, values: Tensor, sizes: Sequence[int]) -> Tensor:
    """A sparse matrix with compressed rows.

    Args:
        index: int64 ``[2, E]``, rows and columns, in any order.
        values: float32 ``[E]``.
        sizes: numbers of rows and of columns.
    """
    # Rows in order, and columns in order within each row.
    order = torch.sort(index[1], stable=True).indices
    order = order[torch.sort(index[0][order], stable=True).indices]
    start = torch.zeros(sizes[0] + 1, dtype=torch.int64, device=index.device)
    torch.cumsum(torch.bincount(index[0], minlength=sizes[0]), 0, out=start[1:])
    with warnings.catch_warnings():
        for message in ("Sparse CSR tensor support is in beta", "Sparse invariant checks are"):
            warnings.filterwarnings("ignore", message=message)
        return torch.sparse_csr_tensor(
            start, index[1][order], values[order], size=tuple(sizes), check_invariants=False
        )


def item_degrees(data: HeteroData, relations: list[EdgeType]) -> tuple[Tensor, Tensor]:
    """Standardised log-degrees of items by relation, of outgoing and of incoming edges, each ``[R, I]``.

    The row of a relation that has no item at that end is 0.
    """
    out = []
    for end in (0, 2):
        rows = [row for row, e in enumerate(relations) if e[end] == ITEM]
        degrees = standardised(log_degrees(data, [relations[r] for r in rows], end // 2))
        table = degrees.new_zeros(len(relations), degrees.shape[1])
        out.append(
            table.index_copy(0, torch.tensor(rows, device=table.device, dtype=torch.int64), degrees)
        )
    return out[0], out[1]
