r"""A start for the readout's head: a linear probe of the frozen language model.

A head that starts at random sends the adapter meaningless gradients for hundreds of prompts. So the
head is first fitted to the untouched model's hidden states, then everything learns together (probing
before fine-tuning, after Kumar et al., arXiv 2202.10054). With hidden states :math:`h_c` and the
scorer's expectation :math:`s_c`, both centred per prompt, it is ridge regression:

.. math:: w = \arg\min_w \sum_c (w \cdot h_c - s_c)^2 + \lambda \|w\|^2

with :math:`\lambda` chosen on every fourth prompt, which is held out.
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

if TYPE_CHECKING:
    from lkgrag.data import Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.ranker.model import RankerModel

log = logging.getLogger(__name__)
#: Strengths of the ridge that are tried, in units of the features' mean square.
RIDGES = (10.0, 100.0, 1000.0, 10000.0)
#: One prompt in so many is held out to choose the strength.
HELD = 4


@torch.no_grad()
def probe_head(
    model: RankerModel,
    graph: GraphPaths,
    queries: Queries,
    count: int,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> float | None:
    """Fit the candidates head to what the scorer expects; nothing else is changed.

    Args:
        model: with a language model whose adapter has not learned yet.
        graph: of the examples, and its paths.
        queries: the examples; the first ``count`` of a seeded order are used.
        count: most prompts.
        batch_size: prompts a forward pass.
        seed: of the order.
        progress: called with (prompts done, prompts in all).

    Returns:
        Correlation with the scorer on held-out prompts; None where there is nothing to fit (another
        readout, too few prompts).
    """
    lm = model.lm
    if lm is None or not isinstance(lm.readout, LinearReadout):
        return None
    chosen = np.random.default_rng([seed, 0x9B0B]).permutation(len(queries))[:count]
    if len(chosen) < 2 * HELD:
        return None
    order = CandidateOrder("random", seed)
    device = model.device
    graph = graph.to(device)
    model.eval()
    rows: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(chosen), batch_size):
        if progress is not None:
            progress(start, len(chosen))
        index = chosen[start : start + batch_size]
        slots = order(index, queries.candidate_items.shape[1])
        batch = RankerBatch.of(graph, queries[index], slots, device)
        salience, teacher = score_paths(model.scorer, graph.data, batch.paths)
        tokens = model.words(batch, salience.float())
        hidden = lm.readout.features(lm.hidden(tokens), tokens)
        for h, s, mask in zip(hidden, teacher.float(), batch.paths.candidate_mask, strict=True):
            h, s = h[mask].double(), s[mask].double()
            rows.append((h - h.mean(0), s - s.mean()))
    held = [row for n, row in enumerate(rows) if n % HELD == 0]
    fit = [row for n, row in enumerate(rows) if n % HELD]
    best, strength = max((_correlation(_ridge(fit, r), held), r) for r in RIDGES)
    head = lm.readout.head
    if not np.isfinite(best) or best <= 0:
        log.info("probe: nothing found (correlation %.3f); the head starts at random", best)
        return best
    head.weight.copy_(_ridge(rows, strength)[None].to(head.weight))
    log.info("probe of %d prompts: correlation with the scorer %.3f", len(rows), best)
    return best


def _ridge(rows: list[tuple[Tensor, Tensor]], strength: float) -> Tensor:
    x, y = (torch.cat(part) for part in zip(*rows, strict=True))
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return torch.linalg.solve(x.T @ x + strength * x.square().mean() * eye, x.T @ y)


def _correlation(weight: Tensor, rows: list[tuple[Tensor, Tensor]]) -> float:
    x, y = (torch.cat(part) for part in zip(*rows, strict=True))
    out = x @ weight
    scale = out.norm() * y.norm()
    # Both are centred per prompt, so this is the correlation within prompts.
    return float(out @ y / scale) if scale > 0 else -1.0
