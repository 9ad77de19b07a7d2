"""How faithful a ranker's explanations are: the worded paths exist, and its ranking depends on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lkgrag.evaluation.faithfulness import Deletion, deletion_test, share_existing
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch, RankerOutput

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.data import Queries
    from lkgrag.paths import GraphPaths, PathBatch
    from lkgrag.ranker.model import RankerModel


@torch.no_grad()
def measure_faithfulness(
    model: RankerModel,
    graph: GraphPaths,
    queries: Queries,
    count: int,
    batch_size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Test a seeded sample of prompts: do the worded paths exist, and does their deletion matter?

    The worded paths of each list's first item are deleted. There are two controls with as many paths: those
    of other candidates, and the item's own paths that are not worded. The result states how many places the
    item falls, in the fused ranking and by the language model alone. Without a language model, every path
    counts as worded.

    Args:
        model: not wrapped by Accelerate; it is left in evaluation mode.
        graph: the graph and its paths.
        queries: the queries to draw from.
        count: most prompts.
        batch_size: prompts a forward pass.
        seed: of the sample, the order of candidates and the controls.
        progress: called with (prompts done, prompts in all).

    Returns:
        ``prompts``; ``share_existing``, which must be 1 and is NaN if no path is worded; ``deletion``, the
        means of :class:`~lkgrag.evaluation.Deletion` for each system.
    """
    chosen = np.random.default_rng([seed, 0xFA17]).permutation(len(queries))[:count]
    order = CandidateOrder("random", seed)
    device = model.device
    graph = graph.to(device)
    model.eval()
    silent = model.without_lm()
    existing: list[float] = []
    sizes: list[int] = []
    falls: dict[str, list[Deletion]] = {"ranker": []}
    if model.lm is not None:
        falls["lm"] = []
    for start in range(0, len(chosen), batch_size):
        if progress is not None:
            progress(start, len(chosen))
        index = chosen[start : start + batch_size]
        slots = order(index, queries.candidate_items.shape[1])
        batch = RankerBatch.of(graph, queries[index], slots, device)
        forward = partial(_forward, model, graph.data, batch.order)
        before = forward(batch.paths)
        worded = _select_worded(before, batch.paths)
        if bool(worded.any()):
            existing.append(share_existing(graph.data, batch.paths, worded))
            sizes.append(int(worded.sum()))
        for system, rows in falls.items():
            # Without a weight in the fused score the language model need not read what is deleted from it.
            is_read = system == "lm" or model.fusion.weights.lm > 0
            again = forward if is_read else partial(_forward, silent, graph.data, batch.order)
            rank = partial(_score, _after(again, batch.paths, before), system)
            rows.append(deletion_test(rank, partial(_keep_worded, worded), batch.paths, seed))
    if progress is not None:
        progress(len(chosen), len(chosen))
    share = float(np.average(existing, weights=sizes)) if existing else float("nan")
    return {
        "prompts": len(chosen),
        "share_existing": share,
        "deletion": {system: _summarise(rows) for system, rows in falls.items()},
    }


def _select_worded(output: RankerOutput, paths: PathBatch) -> Tensor:
    """The paths that the prompts contain, bool ``[P]``; all without a language model."""
    worded = torch.ones(len(paths), dtype=torch.bool, device=paths.sample.device)
    if output.words is not None:
        worded = torch.zeros_like(worded)
        worded[output.words.bundle_path] = True
    return worded


def _keep_worded(worded: Tensor, paths: PathBatch) -> Tensor:
    """The selection of a batch that is known already."""
    return worded


def _forward(model: RankerModel, data: HeteroData, order: Tensor, paths: PathBatch) -> RankerOutput:
    """The model's output for a batch with these paths."""
    output: RankerOutput = model(RankerBatch(data, paths, order))
    return output


def _after(
    forward: Callable[[PathBatch], RankerOutput], paths: PathBatch, output: RankerOutput
) -> Callable[[PathBatch], RankerOutput]:
    """A forward pass that takes the output for these very paths as known."""
    return lambda batch: output if batch is paths else forward(batch)


def _score(forward: Callable[[PathBatch], RankerOutput], system: str, paths: PathBatch) -> Tensor:
    """A system's scores ``[B, C]``, ``-inf`` in padding."""
    output = forward(paths)
    if system == "ranker":
        return output.scores
    return output.lm.masked_fill(~paths.candidate_mask, -torch.inf)


def _summarise(rows: list[Deletion]) -> dict[str, float]:
    """Means over the prompts of all batches; NaN without any."""
    if not rows:
        return dict.fromkeys((field.name for field in fields(Deletion)), float("nan"))
    joined = {name: torch.cat([row.parts()[name] for row in rows]) for name in rows[0].parts()}
    return Deletion(**joined).summary()
