"""GraphSAGE (Hamilton, Ying and Leskovec, 2017): each node takes in the mean of its neighbours, by relation."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import HeteroConv, SAGEConv

from lkgrag.scorer.graph_network import GraphNetwork

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import NodeType

    from lkgrag.scorer.graph_structure import LayerPlan


class GraphSAGE(GraphNetwork):
    r"""GraphSAGE on a graph of several relations, with PyG's ``SAGEConv`` for each.

    "Inductive Representation Learning on Large Graphs", NeurIPS 2017, arXiv 1706.02216. A layer is

    .. math::
        z'_i = z_i + \mathrm{ELU}\left(\frac{1}{|R_i|} \sum_r
        \left(W_r \sum_{j \in N_r(i)} \bar w_{ij} z_j + V_r z_i + b_r\right)\right)

    where :math:`\bar w` are the edges' weights, scaled to a sum of 1, over the ``neighbours`` heaviest edges. The
    paper samples neighbours at random instead.

    Args and errors are those of :class:`~lkgrag.scorer.graph_network.GraphNetwork`.
    """

    def build_layers(self) -> None:
        """One convolution for each relation and layer."""

        def build(plan: LayerPlan) -> HeteroConv:
            # The weighted mean is a product with the scaled adjacency, so the layer adds.
            size = (self.options.hidden, self.options.hidden)
            convs = {e: SAGEConv(size, size[0], aggr="sum") for e in plan.edges}
            with warnings.catch_warnings():
                # A type that hears nothing in a layer keeps its vectors.
                warnings.filterwarnings("ignore", message="There exist node types")
                return HeteroConv(convs, aggr="mean")

        self.convs = nn.ModuleList(build(plan) for plan in self.plans if plan.edges)

    def embed_from(self, x: dict[NodeType, Tensor], data: HeteroData) -> dict[NodeType, Tensor]:
        """Pass messages; see :meth:`GraphNetwork.embed_from`."""
        messages = self.find_messages(data)

        def layer(
            number: int, plan: LayerPlan, x: dict[NodeType, Tensor]
        ) -> dict[NodeType, Tensor]:
            adjacency = {e: messages[e].adjacency for e in plan.edges}
            new = self.convs[number](x, adjacency)
            return {t: x[t] + F.elu(new[t]) for t in plan.targets}

        return self.run_layers(x, layer)
