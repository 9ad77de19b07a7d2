"""How faithful a ranker's explanations are: what it words exists, and its ranking depends on it."""

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
    """Existence and deletion over a seeded sample of prompts.

    The evidence for a list's first item is deleted. As controls, as many paths of other candidates are
    deleted, and as many of its own that are not shown. The places that the item then falls are stated for
    the fused ranking and for the language model alone. Without a language model, every path counts as shown.

    Args:
        model: unwrapped.
        graph: and its paths.
        queries: to draw from.
        count: most prompts.
        batch_size: prompts a forward pass.
        seed: of the draw, the order of candidates and the control.
        progress: called with (prompts done, prompts in all).

    Returns:
        ``prompts``, ``share_existing`` (must be 1; NaN where no path was worded) and, by system,
        ``fall`` (places), ``score`` (loss of score), ``control`` and ``spare`` (places; of paths of others,
        and of its own that are not shown, NaN where no first item has enough).
    """
    chosen = np.random.default_rng([seed, 0xFA17]).permutation(len(queries))[:count]
    order = CandidateOrder("random", seed)
    device = model.device
    graph = graph.to(device)
    model.eval()
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
        read = partial(_read, model, graph.data, batch.order)
        worded = _shown(read(batch.paths), batch.paths)
        if bool(worded.any()):
            existing.append(share_existing(graph.data, batch.paths, worded))
            sizes.append(int(worded.sum()))
        for system, rows in falls.items():
            rank = partial(_scores, read, system)
            rows.append(deletion_test(rank, partial(_same, worded), batch.paths, seed))
    if progress is not None:
        progress(len(chosen), len(chosen))
    share = float(np.average(existing, weights=sizes)) if existing else float("nan")
    return {
        "prompts": len(chosen),
        "share_existing": share,
        "deletion": {system: _summary(rows) for system, rows in falls.items()},
    }


def _shown(out: RankerOutput, paths: PathBatch) -> Tensor:
    """Which paths stand in the prompts, bool ``[P]``."""
    shown = torch.ones(len(paths), dtype=torch.bool, device=paths.sample.device)
    if out.words is not None:
        shown = torch.zeros_like(shown)
        shown[out.words.bundle_path] = True
    return shown


def _same(worded: Tensor, paths: PathBatch) -> Tensor:
    return worded


def _read(model: RankerModel, data: HeteroData, order: Tensor, paths: PathBatch) -> RankerOutput:
    return model(RankerBatch(data, paths, order))


def _scores(read: Callable[[PathBatch], RankerOutput], system: str, paths: PathBatch) -> Tensor:
    out = read(paths)
    if system == "ranker":
        return out.scores
    return out.lm.masked_fill(~paths.candidate_mask, -torch.inf)


def _summary(rows: list[Deletion]) -> dict[str, float]:
    """Means over the prompts of all batches; NaN without any."""
    if not rows:
        return dict.fromkeys((field.name for field in fields(Deletion)), float("nan"))
    whole = {name: torch.cat([row.parts()[name] for row in rows]) for name in rows[0].parts()}
    return Deletion(**whole).summary()
