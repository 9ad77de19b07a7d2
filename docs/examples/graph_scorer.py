"""A path matters as much as its ends agree, after a graph neural network has embedded the items."""

import torch
from torch_geometric.nn import HeteroConv, SAGEConv

from lkgrag.scorer import PathScorer


class GraphScorer(PathScorer):
    """GraphSAGE over the relations between items."""

    def __init__(self, metadata, num_nodes, metapaths, dim=16):
        super().__init__(metadata, num_nodes, metapaths)
        self.between = [edge for edge in metadata[1] if edge[0] == edge[2] == "item"]
        self.item = torch.nn.Embedding(num_nodes["item"], dim)
        self.kind = torch.nn.Embedding(len(metapaths), dim)
        self.conv = HeteroConv({edge: SAGEConv(dim, dim) for edge in self.between})
        # Small at first: the scorer starts from the paths' own weights.
        torch.nn.init.normal_(self.item.weight, std=0.1)

    def forward(self, data, paths):
        """Salience of each path, shape ``[P]``."""
        edges = {edge: data[edge].edge_index for edge in self.between}
        x = self.item.weight
        x = x + self.conv({"item": x}, edges)["item"].tanh()
        start = paths.history_items[paths.sample, paths.history]
        end = paths.candidate_items[paths.sample, paths.candidate]
        agree = (x[start] * x[end] * self.kind(paths.metapath)).sum(1)
        return agree + paths.weight.log()
