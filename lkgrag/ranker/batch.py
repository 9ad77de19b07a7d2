"""The input and the output of the ranker's forward pass."""

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
    """The ranker's input: ``B`` prompts.

    Attributes:
        data: the graph that holds the paths.
        paths: path instances.
        order: int64 ``[B, C]``, the candidate slot at each place of the prompt.
        generator: if given, the worded paths are sampled; otherwise the most salient ones are worded.
        lm_share: share of the fused score's gradient that reaches the language model, 0 to 1. It
            does not change the scores.
        wordless: bool ``[B]``, the prompts that are made without path words; None for none of them.
    """

    data: HeteroData
    paths: PathBatch
    order: Tensor
    generator: torch.Generator | None = None
    lm_share: float = 1.0
    wordless: Tensor | None = None

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
            graph: the graph and its paths; already on the device.
            queries: ``B`` rankings to make.
            order: int64 ``[B, C]``, as :class:`~lkgrag.prompt.order.CandidateOrder` gives it.
            device: the ranker's device.
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
        salience: float32 ``[P]``, one value a path.
        words: the prompts as tokens, and the paths that they contain; None without a language model.
    """

    scores: Tensor
    lm: Tensor
    scorer: Tensor
    prior: Tensor
    salience: Tensor
    words: TokenBatch | None = None
