"""LightGCN (He et al., 2020): embeddings of users and items, smoothed over the graph of their behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.nn import LGConv

from lkgrag.scorer.features import PerGraph
from lkgrag.scorer.graph_network import GraphNetwork
from lkgrag.scorer.graph_options import NetworkOptions
from lkgrag.scorer.graph_structure import ITEM, USER, compressed

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType


#: Node types whose vectors are smoothed.
SMOOTHED = (ITEM, USER)


@dataclass(frozen=True)
class LightGCNOptions(NetworkOptions):
    """Options of :class:`LightGCN`, whose users pass messages by default."""

    users: bool = True


class LightGCN(GraphNetwork):
    r"""Layers without parameters, PyG's ``LGConv``, on the relations among users and items.

    "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020, arXiv 2002.02126.
    With the weights :math:`A` of the edges, each relation's scaled to a mean of 1, and the degrees :math:`D`,

    .. math::
        z = \frac{1}{L + 1} \sum_{l=0}^{L} \left(D^{-1/2} A D^{-1/2}\right)^l z^{(0)}

    Attributes of items keep their first vectors.

    Args and errors are those of :class:`~lkgrag.scorer.graph_network.GraphNetwork`, with :class:`LightGCNOptions`.
    """

    options_class = LightGCNOptions
    options: LightGCNOptions

    def choose_edges(self, edge_types: list[EdgeType]) -> list[EdgeType]:
        """Relations among users and items, or among items alone."""
        edge_types = super().choose_edges(edge_types)
        return [e for e in edge_types if e[0] in SMOOTHED and e[2] in SMOOTHED]

    def build_layers(self) -> None:
        """There are no parameters."""
        self.smoothed = list(dict.fromkeys(t for e in self.used_edges for t in (e[2], e[0])))
        self.conv = LGConv(normalize=False)
        self._adjacency = PerGraph(self._find_adjacency)

    def embed_from(self, x: dict[NodeType, Tensor], data: HeteroData) -> dict[NodeType, Tensor]:
        """Smooth the vectors; see :meth:`GraphNetwork.embed_from`."""
        if not self.smoothed:
            return {}
        z = torch.cat([x[t] for t in self.smoothed])
        total, adjacency = z, self._adjacency(data)
        for _ in range(self.options.layers):
            z = self.conv(z, adjacency)
            total = total + z
        mean = total / (self.options.layers + 1)
        return dict(zip(self.smoothed, mean.split([len(x[t]) for t in self.smoothed]), strict=True))

    def _find_adjacency(self, data: HeteroData) -> Tensor:
        r""":math:`D^{-1/2} A D^{-1/2}` over all smoothed nodes, float32 ``[N, N]``, compressed rows."""
        messages = self.find_messages(data)
        sizes = torch.tensor([int(data[t].num_nodes or 0) for t in self.smoothed])
        start = dict(zip(self.smoothed, (sizes.cumsum(0) - sizes).tolist(), strict=True))
        rows, columns, weights = [], [], []
        for edge_type, (index, weight) in ((e, (m.index, m.weight)) for e, m in messages.items()):
            columns.append(index[0] + start[edge_type[0]])
            rows.append(index[1] + start[edge_type[2]])
            weights.append(weight / weight.mean().clamp(min=1e-9))
        size = int(sizes.sum())
        row, column, value = torch.cat(rows), torch.cat(columns), torch.cat(weights)
        into, out = (value.new_zeros(size).index_add(0, end, value) for end in (row, column))
        scale = into.clamp(min=1e-9).rsqrt()[row] * out.clamp(min=1e-9).rsqrt()[column]
        return compressed(torch.stack([row, column]), value * scale, (size, size))
