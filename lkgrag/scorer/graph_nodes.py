"""Where graph neural networks begin: a vector of each node, from features where there are some, else from a table."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch_geometric.nn.module_dict import ModuleDict

from lkgrag.errors import ConfigError
from lkgrag.scorer.base import extended_table
from lkgrag.scorer.features import PerGraph, log_degrees, standardised
from lkgrag.scorer.graph_structure import ITEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

#: Standard deviation of new rows of a table.
SPREAD = 0.1


class NodeInputs(nn.Module):
    """Vectors of all nodes before any message.

    A type with features ``data[type].x`` has a linear map of them, standardised by column, so that a new node has a
    vector at once. Any other type has a table with a row for each node; new nodes get the mean row. Items add a linear
    map of their degrees, which the default scorer reads too.

    Args:
        types: node types that are used.
        edge_types: of the graph.
        num_nodes: number of nodes of each type.
        num_features: width of ``data[type].x`` of each type that has features.
        hidden: width of the vectors.
        counts: whether items' degrees are read.
    """

    def __init__(
        self,
        types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        num_nodes: Mapping[NodeType, int],
        num_features: Mapping[NodeType, int],
        hidden: int,
        counts: bool,
    ) -> None:
        super().__init__()
        self.types = list(types)
        self.num_features = {t: n for t, n in num_features.items() if t in self.types}
        self.maps = ModuleDict({t: nn.Linear(n, hidden) for t, n in self.num_features.items()})
        # A table of at least one row has a mean for the first nodes of a type.
        self.tables = ModuleDict(
            {
                t: nn.Embedding(max(1, num_nodes.get(t, 0)), hidden)
                for t in self.types
                if t not in self.num_features
            }
        )
        for table in self.tables.values():
            nn.init.normal_(table.weight, std=SPREAD)
        outgoing = [e for e in edge_types if e[0] == ITEM]
        self.degrees = nn.Linear(len(outgoing), hidden, bias=False) if counts and outgoing else None
        self._profile = PerGraph(partial(degree_profile, outgoing=outgoing))
        self._features = PerFeatures()

    def extend(self, num_nodes: Mapping[NodeType, int]) -> None:
        """Give the tables rows for new nodes; see :meth:`~lkgrag.scorer.PathScorer.extend`."""
        for node_type, table in list(self.tables.items()):
            rows = max(1, num_nodes.get(node_type, 0))
            self.tables[node_type] = extended_table(table, rows)

    def forward(self, data: HeteroData) -> dict[NodeType, Tensor]:
        """Vectors of the nodes of each type, float32 ``[N, hidden]``.

        Raises:
            ConfigError: the graph has not the features that the scorer was built for.
        """
        out = {}
        for node_type in self.types:
            size = int(data[node_type].num_nodes or 0)
            if node_type in self.num_features:
                out[node_type] = self.maps[node_type](self._standardised(data, node_type))
            else:
                out[node_type] = self.tables[node_type].weight[:size]
        if self.degrees is not None:
            out[ITEM] = out[ITEM] + self.degrees(self._profile(data))
        return out

    def _standardised(self, data: HeteroData, node_type: NodeType) -> Tensor:
        """The features of a type, standardised, float32 ``[N, D]``."""
        x, width = data[node_type].get("x"), self.num_features[node_type]
        if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[1] != width:
            raise ConfigError(
                f"the scorer reads features of width {width} of '{node_type}', but the graph has "
                f"{'none' if x is None else 'others'}; set text.encoder as in training"
            )
        return self._features(node_type, x)


def degree_profile(data: HeteroData, outgoing: list[EdgeType]) -> Tensor:
    """Standardised log-degrees of items by outgoing edge type, float32 ``[I, E]``."""
    return standardised(log_degrees(data, outgoing, 0)).T.contiguous()


class PerFeatures:
    """Standardises features once for each tensor of them."""

    def __init__(self) -> None:
        self._values: dict[NodeType, tuple[Tensor, int, Tensor]] = {}

    def __call__(self, node_type: NodeType, x: Tensor) -> Tensor:
        """Columns of mean 0 and a norm of rows of about 1; rows without features stay 0."""
        version = 0 if x.is_inference() else x._version
        known = self._values.get(node_type)
        if known is not None and known[0] is x and known[1] == version:
            return known[2]
        with torch.inference_mode(False), torch.no_grad():
            value = standardised_columns(x.float())
        self._values[node_type] = (x, version, value)
        return value

    def __deepcopy__(self, memo: dict[int, object]) -> PerFeatures:
        """Copy without the values, which a copy of a module computes again."""
        return PerFeatures()

    def __getstate__(self) -> dict[str, object]:
        """The state without the values, for the same reason."""
        return {"_values": {}}


def standardised_columns(x: Tensor) -> Tensor:
    """Centre and scale the columns of the rows that are not 0, float32 ``[N, D]``; a row of zeros stays."""
    filled = (x != 0).any(1)
    if not bool(filled.any()):
        return torch.zeros_like(x)
    rows = x[filled]
    spread = rows.std(0, correction=0).clamp(min=1e-6)
    out = torch.zeros_like(x)
    out[filled] = (rows - rows.mean(0)) / spread / math.sqrt(x.shape[1])
    return out
