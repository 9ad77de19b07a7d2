"""How the attention of a prompt is shared out among meta-paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.utils import softmax

if TYPE_CHECKING:
    from lkgrag.paths import PathBatch


def metapath_shares(salience: Tensor, paths: PathBatch) -> Tensor:
    """How the attention of each prompt is shared out among meta-paths.

    Saliences become shares by a softmax over each candidate's paths; shares are averaged over the
    candidates that have paths.

    Args:
        salience: ``[P]``.
        paths: of the prompts, ``M`` meta-paths.

    Returns:
        ``[B, M]``, rows sum to 1; 0 for a prompt without a path.
    """
    num, width = paths.num_prompts, paths.num_candidates
    pair = paths.sample * width + paths.candidate
    weight = softmax(salience.float(), pair, num_nodes=num * width)
    kinds = len(paths.metapaths)
    out = weight.new_zeros(num * kinds)
    out.index_add_(0, paths.sample * kinds + paths.metapath, weight)
    reached = torch.zeros(num * width, dtype=torch.bool, device=weight.device)
    reached[pair] = True
    count = reached.view(num, width).sum(1, keepdim=True).clamp(min=1)
    return out.view(num, kinds) / count
