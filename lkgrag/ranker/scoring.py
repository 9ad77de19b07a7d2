"""Scores of a ranker for many queries, computed by one process or several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    from lkgrag.ranker.fusion import TermWeights
    from lkgrag.ranker.model import RankerModel

#: Indices of the terms.
LM, SCORER, PRIOR = 0, 1, 2


@dataclass(frozen=True)
class Predictions:
    """The three terms of the fused score, before their weights.

    Attributes:
        terms: float64 ``[3, E, C]``: centred LM, centred scorer, prior; 0 in padding.
        mask: bool ``[E, C]``, the filled slots.
        tokens: int64 ``[E]``, tokens of each prompt; 0 without a language model.
        shares: float64 ``[E, M]``, each meta-path's share of a prompt's attention.
    """

    terms: NDArray[np.float64]
    mask: NDArray[np.bool_]
    tokens: NDArray[np.int64]
    shares: NDArray[np.float64]

    @property
    def has_lm(self) -> bool:
        """Whether a language model scored: otherwise its term is 0 everywhere."""
        return bool(self.tokens.any())

    def fused(self, weights: TermWeights | NDArray[np.float64]) -> NDArray[np.float64]:
        """Fused scores ``[E, C]``, ``-inf`` in padding.

        Args:
            weights: of the three terms, one set for all prompts or float64 ``[E, 3]``.
        """
        by_term = np.reshape(np.asarray(weights, np.float64), (-1, 3)).T[:, :, None]
        return np.where(self.mask, (by_term * self.terms).sum(0), -np.inf)

    def __getitem__(self, index: NDArray[np.bool_]) -> Predictions:
        """The predictions of some prompts, by a mask, bool ``[E]``."""
        return Predictions(
            self.terms[:, index], self.mask[index], self.tokens[index], self.shares[index]
        )

    def interleaved(self, rest: Predictions, is_own: NDArray[np.bool_]) -> Predictions:
        """These predictions and others as one.

        Args:
            rest: the predictions of all other prompts.
            is_own: bool ``[E]``, which of all prompts are those of ``self``, in their order.
        """

        def join(own: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
            out = np.empty((len(is_own), *own.shape[1:]), own.dtype)
            out[is_own], out[~is_own] = own, other
            return out

        terms = join(self.terms.swapaxes(0, 1), rest.terms.swapaxes(0, 1)).swapaxes(0, 1)
        names = ("mask", "tokens", "shares")
        return Predictions(terms, *(join(getattr(self, n), getattr(rest, n)) for n in names))

    def term(self, index: int) -> NDArray[np.float64]:
        """A single term ``[E, C]``, ``-inf`` in padding, by its index in :attr:`terms`."""
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
    """Score queries; the scores do not depend on the number of processes.

    Args:
        model: not wrapped by Accelerate; it is left in evaluation mode.
        graph: the graph and its paths.
        queries: ``E`` queries.
        order: of the candidates; the index of a query is its id.
        batch_size: prompts a forward pass.
        accelerator: its processes share the queries; None means one process.
        progress: called with (queries done, queries in all) of this process.

    Returns:
        The terms of all queries, on every process.
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
    # Prompts of similar length share a forward pass, so that little of it is padding.
    by_length = np.argsort((queries.history_items >= 0).sum(1), kind="stable")
    mine = by_length[rank::world]
    # Every process makes as many passes as the busiest one: a sharded model needs all of them in each.
    starts = np.arange(0, math.ceil(num / world), batch_size)
    # In a drawn order, so that the pace of the first passes tells the time of all.
    for done, start in enumerate(np.random.default_rng(0).permutation(starts)):
        if progress is not None:
            progress(min(done * batch_size, len(mine)), len(mine))
        index = mine[start : start + batch_size]
        is_spare = len(index) == 0
        if is_spare:
            index = by_length[:1]
        batch = RankerBatch.of(graph, queries[index], order(index, width), device)
        output = model(batch)
        if is_spare:
            continue
        rows = torch.as_tensor(index, device=device)
        for term, value in enumerate((output.lm, output.scorer, output.prior)):
            terms[term, rows] = value.double()
        if graph.metapaths:
            shares[rows] = metapath_shares(output.salience, batch.paths).double()
        if output.words is not None:
            tokens[rows] = output.words.lengths
    if progress is not None:
        progress(len(mine), len(mine))
    if accelerator is not None and world > 1:
        # One process filled each row; it is 0 in all others.
        terms, tokens, shares = (accelerator.reduce(x, "sum") for x in (terms, tokens, shares))
    mask = queries.candidate_items >= 0
    return Predictions(terms.cpu().numpy(), mask, tokens.cpu().numpy(), shares.cpu().numpy())
