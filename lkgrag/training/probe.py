r"""The initial weights of the readout's head: a linear probe of the frozen language model.

A random head would send the adapter meaningless gradients for hundreds of prompts. So the head is first
fitted to the hidden states of the untrained model. Then all parts learn together (probing before
fine-tuning, after Kumar et al., arXiv 2202.10054). The probe is a ridge regression of the scorer's
expectation :math:`s_c` on the hidden states :math:`h_c`, both centred per prompt:

.. math:: w = \arg\min_w \sum_c (w \cdot h_c - s_c)^2 + \lambda \|w\|^2

Every fourth prompt is held out to choose :math:`\lambda`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lkgrag.llm.readouts.linear import LinearReadout
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch
from lkgrag.scorer.base import score_paths
from lkgrag.training.batches import cut_by_fold

if TYPE_CHECKING:
    from lkgrag.data import Queries
    from lkgrag.paths import ExamplePaths
    from lkgrag.ranker.model import RankerModel

log = logging.getLogger(__name__)
#: Strengths of the ridge to try, in units of the features' mean square.
RIDGES = (10.0, 100.0, 1000.0, 10000.0)
#: One prompt in so many is held out to choose the strength.
HELD_OUT = 4


@torch.no_grad()
def probe_head(
    model: RankerModel,
    graphs: ExamplePaths,
    queries: Queries,
    count: int,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> float | None:
    """Fit the head of the linear readout to the scorer's expectation; nothing else changes.

    Args:
        model: with a language model whose adapter is still untrained.
        graphs: the graphs of the examples and their paths.
        queries: the examples; the first ``count`` of a seeded order are used.
        count: most prompts.
        batch_size: prompts a forward pass.
        seed: of the order.
        progress: called with (prompts done, prompts in all).

    Returns:
        Correlation with the scorer on held-out prompts. None if there is nothing to fit: the readout
        has no such head, or there are too few prompts.
    """
    lm = model.lm
    if lm is None or not isinstance(lm.readout, LinearReadout):
        return None
    chosen = np.random.default_rng([seed, 0x9B0B]).permutation(len(queries))[:count]
    if len(chosen) < 2 * HELD_OUT:
        return None
    order = CandidateOrder("random", seed)
    device = model.device
    graphs = graphs.to(device)
    model.eval()
    rows: list[tuple[Tensor, Tensor]] = []
    folds = graphs.folds_of(queries[chosen])
    for index in (chosen[batch] for batch in cut_by_fold(folds, batch_size)):
        if progress is not None:
            progress(len(rows), len(chosen))
        graph = graphs.graph_of(queries[index])
        slots = order(index, queries.candidate_items.shape[1])
        batch = RankerBatch.of(graph, queries[index], slots, device)
        salience, teacher = score_paths(model.scorer, graph.data, batch.paths)
        tokens = model.words(batch, salience.float())
        hidden = lm.readout.features(lm.hidden(tokens), tokens)
        for h, s, mask in zip(hidden, teacher.float(), batch.paths.candidate_mask, strict=True):
            h, s = h[mask].double(), s[mask].double()
            rows.append((h - h.mean(0), s - s.mean()))
    held_out = [row for n, row in enumerate(rows) if n % HELD_OUT == 0]
    fitted = [row for n, row in enumerate(rows) if n % HELD_OUT]
    best, strength = max((_correlate(_fit_ridge(fitted, r), held_out), r) for r in RIDGES)
    head = lm.readout.head
    if not np.isfinite(best) or best <= 0:
        log.info("probe: no correlation with the scorer (%.3f); the head starts at random", best)
        return best
    head.weight.copy_(_fit_ridge(rows, strength)[None].to(head.weight))
    log.info("probe of %d prompts: correlation with the scorer %.3f", len(rows), best)
    return best


def _fit_ridge(rows: list[tuple[Tensor, Tensor]], strength: float) -> Tensor:
    """Weights of the ridge regression over prompts, float64, one a feature."""
    x, y = (torch.cat(part) for part in zip(*rows, strict=True))
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return torch.linalg.solve(x.T @ x + strength * x.square().mean() * eye, x.T @ y)


def _correlate(weight: Tensor, rows: list[tuple[Tensor, Tensor]]) -> float:
    """Correlation within prompts of the regression's output with the scorer's expectation."""
    x, y = (torch.cat(part) for part in zip(*rows, strict=True))
    out = x @ weight
    # Both are centred per prompt, so the cosine is the correlation.
    scale = out.norm() * y.norm()
    return float(out @ y / scale) if scale > 0 else -1.0
