"""Scores of a ranker over many queries, on one process or many."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.prompt.order import candidate_order
from lkgrag.ranker.batch import RankerBatch
from lkgrag.ranker.model import Ranker
from lkgrag.ranker.shares import metapath_shares

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data import Queries
    from lkgrag.paths import Finder


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
def predict(
    ranker: Ranker,
    data: HeteroData,
    finder: Finder,
    queries: Queries,
    order: str,
    seed: int,
    batch_size: int,
    accelerator: Accelerator | None = None,
    progress: Callable[[int, int], None] | None = None,
    ids: NDArray[np.int64] | None = None,
) -> Predictions:
    """Score queries; the figures do not depend on how many processes share the work.

    Args:
        ranker: unwrapped.
        data: the graph, as the finder's.
        finder: of the paths.
        queries: ``E`` of them.
        order: policy of the candidates' order, ``prompt.order``.
        seed: of the random order.
        batch_size: prompts a forward pass.
        accelerator: shares the queries among its processes; None is one process.
        progress: called with (queries done, queries in all) of this process.
        ids: a number that identifies each query's random order; its place by default.
    """
    rank, world = 0, 1
    device = ranker.device
    if accelerator is not None:
        rank, world, device = (
            accelerator.process_index,
            accelerator.num_processes,
            accelerator.device,
        )
    ranker.eval()
    data = data.to(device)
    num, width = queries.candidate_items.shape
    ids = np.arange(num) if ids is None else ids
    out = torch.zeros(3, num, width, dtype=torch.float64, device=device)
    tokens = torch.zeros(num, dtype=torch.int64, device=device)
    shares = torch.zeros(num, len(finder.metapaths), dtype=torch.float64, device=device)
    # Prompts of like length share a pass, so that little of it is padding.
    by_length = np.argsort((queries.history_items >= 0).sum(1), kind="stable")
    mine = by_length[rank::world]
    # Every process makes as many passes as the busiest: those of a sharded model are a common act.
    for start in range(0, math.ceil(num / world), batch_size):
        if progress is not None:
            progress(min(start, len(mine)), len(mine))
        index = mine[start : start + batch_size]
        spare = len(index) == 0
        if spare:
            index = by_length[:1]
        paths = finder(queries[index]).to(device)
        slots = candidate_order(ids[index], width, order, seed, epoch=-1)
        result = ranker(RankerBatch(data, paths, torch.as_tensor(slots, device=device)))
        if spare:
            continue
        place = torch.as_tensor(index, device=device)
        for term, value in enumerate((result.lm, result.scorer, result.prior)):
            out[term, place] = value.double()
        if finder.metapaths:
            shares[place] = metapath_shares(result.salience, paths).double()
        if result.words is not None:
            tokens[place] = result.words.lengths
    if progress is not None:
        progress(len(mine), len(mine))
    if accelerator is not None and world > 1:
        # Every row was filled by one process and is 0 elsewhere.
        out, tokens, shares = (accelerator.reduce(x, "sum") for x in (out, tokens, shares))
    mask = queries.candidate_items >= 0
    return Predictions(out.cpu().numpy(), mask, tokens.cpu().numpy(), shares.cpu().numpy())
