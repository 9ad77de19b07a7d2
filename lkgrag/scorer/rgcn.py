"""R-GCN (Schlichtkrull et al., 2018): one matrix for each relation, mixed from a few bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import RGCNConv
from torch_geometric.utils import spmm

from lkgrag.scorer.graph_network import GraphNetwork
from lkgrag.scorer.graph_options import NetworkOptions, check_count

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.scorer.graph_structure import LayerPlan, Messages


@dataclass(frozen=True)
class RGCNOptions(NetworkOptions):
    """Options of :class:`RGCN`.

    Attributes:
        bases: number of matrices that a layer's relations are mixed from.
    """

    bases: int = 4

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        check_count("bases", self.bases)


class RGCN(GraphNetwork):
    r"""A relational graph convolution, with the parameters of PyG's ``RGCNConv``.

    "Modeling Relational Data with Graph Convolutional Networks", ESWC 2018, arXiv 1703.06103. A layer is

    .. math::
        z'_i = z_i + \mathrm{ELU}\left(W_0 z_i + b + \sum_r \sum_{j \in N_r(i)} \bar w_{ij} W_r z_j\right),
        \qquad W_r = \sum_k a_{rk} V_k

    where :math:`\bar w` are the edges' weights, scaled to a sum of 1 for each node and relation.

    Args and errors are those of :class:`~lkgrag.scorer.graph_network.GraphNetwork`, with :class:`RGCNOptions`.
    """

    options_class = RGCNOptions
    options: RGCNOptions

    def build_layers(self) -> None:
        """One convolution for each layer."""
        self.convs = nn.ModuleList(
            SparseRGCNConv(
                self.options.hidden,
                self.options.hidden,
                num_relations=len(plan.edges),
                num_bases=min(self.options.bases, len(plan.edges)),
            )
            for plan in self.plans
            if plan.edges
        )

    def embed_from(self, x: dict[NodeType, Tensor], data: HeteroData) -> dict[NodeType, Tensor]:
        """Pass messages; see :meth:`GraphNetwork.embed_from`."""
        messages = self.find_messages(data)

        def layer(
            number: int, plan: LayerPlan, x: dict[NodeType, Tensor]
        ) -> dict[NodeType, Tensor]:
            conv = self.convs[number]
            assert isinstance(conv, SparseRGCNConv)
            new = conv.convolve(x, plan, messages)
            return {t: x[t] + F.elu(new[t]) for t in plan.targets}

        return self.run_layers(x, layer)


class SparseRGCNConv(RGCNConv):
    """PyG's layer on a graph of several node types: sums over neighbours are sparse products.

    ``RGCNConv`` itself picks the edges of each relation out of all edges in every pass.
    """

    def convolve(
        self, x: dict[NodeType, Tensor], plan: LayerPlan, messages: dict[EdgeType, Messages]
    ) -> dict[NodeType, Tensor]:
        """New vectors of the targets of a plan, whose edge types are the relations, in this order."""
        bases = self.weight.view(self.num_bases, -1)
        weight = (self.comp @ bases).view(-1, self.in_channels_l, self.out_channels)
        out = {t: x[t] @ self.root + self.bias for t in plan.targets}
        for relation, edge_type in enumerate(plan.edges):
            mean = spmm(messages[edge_type].adjacency, x[edge_type[0]])
            out[edge_type[2]] = out[edge_type[2]] + mean @ weight[relation]
        return out
