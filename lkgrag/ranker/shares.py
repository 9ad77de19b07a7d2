"""Each meta-path's share of a prompt's attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.utils import softmax

if TYPE_CHECKING:
    from lkgrag.paths import PathBatch


def metapath_shares(salience: Tensor, paths: PathBatch) -> Tensor:
    """Each meta-path's share of the attention of each prompt.

    A softmax over each candidate's paths turns saliences into shares. A prompt's shares are their mean
    over the candidates that have paths.

    Args:
        salience: float ``[P]``.
        paths: of ``B`` prompts, with ``M`` meta-paths.

    Returns:
        float32 ``[B, M]``; a row sums to 1, or to 0 for a prompt without a path.
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
