"""KGAT (Wang et al., 2019): attention over the knowledge graph that depends on the relation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GATv2Conv

from lkgrag.scorer.graph_network import GraphNetwork

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import NodeType

    from lkgrag.scorer.graph_structure import LayerPlan


class KGAT(GraphNetwork):
    r"""Relational attention and the bi-interaction aggregator.

    "KGAT: Knowledge Graph Attention Network for Recommendation", KDD 2019, arXiv 1905.07854. A layer is

    .. math::
        n_i &= \sum_{(i, r, j)} \pi_{irj} W z_j, \qquad
        \pi_{irj} = \mathrm{softmax}_{(r, j)}\left(a \cdot \mathrm{LeakyReLU}(W z_j + V z_i + e_r)\right) \\
        z'_i &= \mathrm{LeakyReLU}(W_1 (z_i + n_i)) + \mathrm{LeakyReLU}(W_2 (z_i \circ n_i))

    The attention is that of PyG's ``GATv2Conv`` ("How Attentive are Graph Attention Networks?", ICLR 2022, arXiv
    2105.14491) with a vector :math:`e_r` of each relation, in place of the paper's, which is static in the neighbour.
    The vectors of all layers are added; the paper joins them. Its loss of TransR is left out.

    Args and errors are those of :class:`~lkgrag.scorer.graph_network.GraphNetwork`.
    """

    def build_layers(self) -> None:
        """One attention and one aggregator for each layer."""
        self.convs = nn.ModuleList(
            KGATConv(len(plan.edges), self.options.hidden) for plan in self.plans if plan.edges
        )

    def embed_from(self, x: dict[NodeType, Tensor], data: HeteroData) -> dict[NodeType, Tensor]:
        """Pass messages; see :meth:`GraphNetwork.embed_from`."""
        messages = self.find_messages(data)

        def layer(
            number: int, plan: LayerPlan, x: dict[NodeType, Tensor]
        ) -> dict[NodeType, Tensor]:
            sizes = [len(x[t]) for t in plan.types]
            starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
            start = dict(zip(plan.types, starts[:-1], strict=True))
            parts = [messages[e].index for e in plan.edges]
            shift = [torch.tensor([[start[e[0]]], [start[e[2]]]]) for e in plan.edges]
            index = torch.cat([p + s.to(p) for p, s in zip(parts, shift, strict=True)], 1)
            kind = torch.arange(len(parts)).repeat_interleave(
                torch.tensor([p.shape[1] for p in parts])
            )
            last = sum(len(x[t]) for t in plan.targets)
            z = torch.cat([x[t] for t in plan.types])
            new = self.convs[number]((z, z[:last]), index, kind.to(index.device))
            parts = new.split([len(x[t]) for t in plan.targets])
            return {t: x[t] + part for t, part in zip(plan.targets, parts, strict=True)}

        return self.run_layers(x, layer)


class KGATConv(nn.Module):
    """One layer: attention with a vector of each relation, and the bi-interaction aggregator.

    Args:
        relations: number of relations.
        hidden: width of the vectors.
    """

    def __init__(self, relations: int, hidden: int) -> None:
        super().__init__()
        self.attention = GATv2Conv(
            hidden, hidden, edge_dim=hidden, add_self_loops=False, bias=False
        )
        # Each relation has a vector already; the map of PyG's layer would compute it again for every edge.
        self.attention.lin_edge = nn.Identity()
        self.relation = nn.Parameter(0.1 * torch.randn(relations, hidden))
        self.sum = nn.Linear(hidden, hidden)
        self.product = nn.Linear(hidden, hidden)

    def forward(self, z: tuple[Tensor, Tensor], index: Tensor, kind: Tensor) -> Tensor:
        """New vectors of the targets, float32 ``[N, hidden]``.

        Args:
            z: vectors of all nodes and of the targets, which are the first ones.
            index: int64 ``[2, E]``, sources and targets.
            kind: int64 ``[E]``, relation of each edge.
        """
        heard = self.attention(z, index, edge_attr=F.embedding(kind, self.relation))
        return F.leaky_relu(self.sum(z[1] + heard)) + F.leaky_relu(self.product(z[1] * heard))
