"""What the ranker is given, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data import Queries
    from lkgrag.paths import GraphPaths, PathBatch
    from lkgrag.prompt import TokenBatch


@dataclass
class RankerBatch:
    """What the ranker sees of ``B`` prompts.

    Attributes:
        data: the graph that the paths are of.
        paths: path instances.
        order: int64 ``[B, C]``, the candidate slot that stands at each place of the prompt.
        generator: where given, the worded paths are sampled instead of the most salient ones.
        lm_share: share of the fused score's gradient that reaches the language model, 0 to 1; the
            scores are the same whatever it is.
    """

    data: HeteroData
    paths: PathBatch
    order: Tensor
    generator: torch.Generator | None = None
    lm_share: float = 1.0

    @classmethod
    def of(
        cls,
        graph: GraphPaths,
        queries: Queries,
        order: NDArray[np.int64],
        device: torch.device | str,
        lm_share: float = 1.0,
    ) -> RankerBatch:
        """Find the paths of queries, and put everything on a device.

        Args:
            graph: on that device already.
            queries: ``B`` rankings to make.
            order: int64 ``[B, C]``, of :class:`~lkgrag.prompt.order.CandidateOrder`.
            device: of the ranker.
            lm_share: see the class.
        """
        paths = graph(queries).to(device)
        return cls(graph.data, paths, torch.as_tensor(order, device=device), lm_share=lm_share)


class RankerOutput(NamedTuple):
    """The fused scores and their parts, each ``[B, C]`` float32.

    Attributes:
        scores: fused; ``-inf`` in padding. Higher is better.
        lm: centred per prompt; 0 in padding.
        scorer: centred per prompt; 0 in padding.
        prior: log-softmax of the retriever's scores; 0 in padding.
        salience: ``[P]``, of each path.
        words: the prompts as tokens, and which paths are in them; None without a language model.
    """

    scores: Tensor
    lm: Tensor
    scorer: Tensor
    prior: Tensor
    salience: Tensor
    words: TokenBatch | None = None
