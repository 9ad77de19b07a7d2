"""Whether the paths of a batch exist in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import HeteroData

    from lkgrag.paths.batch import PathBatch


def in_graph(data: HeteroData, paths: PathBatch) -> Tensor:
    """Look every edge of every path up in the graph.

    Returns:
        bool ``[P]``: all edges exist, and the path leads from its history item to its candidate.
    """
    ends = paths.candidate_items[paths.sample, paths.candidate]
    good = paths.nodes[:, 0] == paths.history_items[paths.sample, paths.history]
    for number, metapath in enumerate(paths.metapaths):
        rows = torch.nonzero(paths.metapath == number).flatten()
        nodes = paths.nodes[rows]
        good[rows] &= nodes[:, len(metapath)] == ends[rows]
        for step, edge_type in enumerate(metapath):
            width = int(data[edge_type[2]].num_nodes)
            source, target = data[edge_type].edge_index.to(nodes.device)
            good[rows] &= torch.isin(
                nodes[:, step] * width + nodes[:, step + 1], source * width + target
            )
    return good
