"""The heterogeneous graph transformer (Hu et al., 2020): attention with keys by node type and by relation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch_geometric.nn import HGTConv

from lkgrag.scorer.graph_network import GraphNetwork
from lkgrag.scorer.graph_options import NetworkOptions, check_count

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import NodeType

    from lkgrag.scorer.graph_structure import LayerPlan


@dataclass(frozen=True)
class HGTOptions(NetworkOptions):
    """Options of :class:`HGT`.

    Attributes:
        heads: of the attention; a divisor of ``hidden``.
    """

    heads: int = 2

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        check_count("heads", self.heads)
        if self.hidden % self.heads:
            raise ValueError(f"heads must divide hidden={self.hidden}, got {self.heads}")


class HGT(GraphNetwork):
    """PyG's ``HGTConv`` over all relations.

    "Heterogeneous Graph Transformer", WWW 2020, arXiv 2003.01332. Attention takes the place of the edges' weights,
    which only choose the ``neighbours`` that a node hears. The paper's encoding of time is left out.

    Args and errors are those of :class:`~lkgrag.scorer.graph_network.GraphNetwork`, with :class:`HGTOptions`.
    """

    options_class = HGTOptions
    options: HGTOptions

    def build_layers(self) -> None:
        """One convolution for each layer."""
        self.convs = nn.ModuleList(self._build(plan) for plan in self.plans if plan.edges)

    def _build(self, plan: LayerPlan) -> HGTConv:
        conv = HGTConv(
            self.options.hidden, self.options.hidden, (plan.types, plan.edges), self.options.heads
        )
        for node_type in plan.types:
            if node_type not in plan.targets:
                # The layer has parameters for vectors of types that get none.
                conv.skip[node_type].requires_grad_(False)
                conv.out_lin.lins[node_type].requires_grad_(False)
        return conv

    def embed_from(self, x: dict[NodeType, Tensor], data: HeteroData) -> dict[NodeType, Tensor]:
        """Pass messages; see :meth:`GraphNetwork.embed_from`."""
        messages = self.find_messages(data)

        def layer(
            number: int, plan: LayerPlan, x: dict[NodeType, Tensor]
        ) -> dict[NodeType, Tensor]:
            edges = {e: messages[e].index for e in plan.edges}
            new = self.convs[number]({t: x[t] for t in plan.types}, edges)
            return {t: new[t] for t in plan.targets}

        return self.run_layers(x, layer)
