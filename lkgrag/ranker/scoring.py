"""Scores of a ranker over many queries, on one process or many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.ranker.batch import RankerBatch
from lkgrag.ranker.shares import metapath_shares

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from lkgrag.data import Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.prompt.order import CandidateOrder
    from lkgrag.ranker.model import RankerModel

#: Places of the terms.
LM, SCORER, PRIOR = 0, 1, 2


@dataclass(frozen=True)
class Predictions:
    """The three terms of the fused score, before their weights.

    Attributes:
        terms: float64 ``[3, E, C]``: centred LM, centred scorer, prior; 0 in padding.
        mask: bool ``[E, C]``, filled slots.
        tokens: int64 ``[E]``, tokens of each prompt; 0 without a language model.
        shares: float64 ``[E, M]``, how each prompt's attention is shared out among meta-paths.
    """

    terms: NDArray[np.float64]
    mask: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    shares: NDArray[np.float64]

    def fused(
        self, a: float | NDArray[np.float64], b: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Fused scores ``[E, C]``, ``-inf`` in padding; weights are scalars or one an event."""
        lm, scorer, prior = self.terms
        a, b = np.reshape(a, (-1, 1)), np.reshape(b, (-1, 1))
        return np.where(self.mask, lm + a * scorer + b * prior, -np.inf)

    def term(self, index: int) -> NDArray[np.float64]:
        """One term alone ``[E, C]``, ``-inf`` in padding."""
        return np.where(self.mask, self.terms[index], -np.inf)


@torch.no_grad()
def score_queries(
    model: RankerModel,
    graph: GraphPaths,
    queries: Queries,
    order: CandidateOrder,
    batch_size: int,
    accelerator: Accelerator | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Score queries; the figures do not depend on how many processes share the work.

    Args:
        model: unwrapped.
        graph: and its paths.
        queries: ``E`` of them.
        order: of the candidates; a query is identified by its place.
        batch_size: prompts a forward pass.
        accelerator: shares the queries among its processes; None is one process.
        progress: called with (queries done, queries in all) of this process.
    """
    rank, world, device = 0, 1, model.device
    if accelerator is not None:
        rank, world, device = (
            accelerator.process_index,
            accelerator.num_processes,
            accelerator.device,
        )
    model.eval()
    graph = graph.to(device)
    num, width = queries.candidate_items.shape
    terms = torch.zeros(3, num, width, dtype=torch.float64, device=device)
    tokens = torch.zeros(num, dtype=torch.int64, device=device)
    shares = torch.zeros(num, len(graph.metapaths), dtype=torch.float64, device=device)
    # Prompts of like length share a pass, so that little of it is padding.
    by_length = np.argsort((queries.history_items >= 0).sum(1), kind="stable")
    mine = by_length[rank::world]
    # Every process makes as many passes as the busiest: those of a sharded model are a common act.
    for start in range(0, math.ceil(num / world), batch_size):
        if progress is not None:
            progress(min(start, len(mine)), len(mine))
        index = mine[start : start + batch_size]
        is_spare = len(index) == 0
        if is_spare:
            index = by_length[:1]
        batch = RankerBatch.of(graph, queries[index], order(index, width), device)
        output = model(batch)
        if is_spare:
            continue
        place = torch.as_tensor(index, device=device)
        for term, value in enumerate((output.lm, output.scorer, output.prior)):
            terms[term, place] = value.double()
        if graph.metapaths:
            shares[place] = metapath_shares(output.salience, batch.paths).double()
        if output.words is not None:
            tokens[place] = output.words.lengths
    if progress is not None:
        progress(len(mine), len(mine))
    if accelerator is not None and world > 1:
        # Every row was filled by one process and is 0 elsewhere.
        terms, tokens, shares = (accelerator.reduce(x, "sum") for x in (terms, tokens, shares))
    mask = queries.candidate_items >= 0
    return Predictions(terms.cpu().numpy(), mask, tokens.cpu().numpy(), shares.cpu().numpy())
