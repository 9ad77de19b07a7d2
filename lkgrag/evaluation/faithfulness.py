"""Whether the paths that explain a ranking exist, and whether the ranking depends on them.

The check of existence reads only ``edge_index`` and shares no code with the search for paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.paths import PathBatch


def exist(data: HeteroData, paths: PathBatch) -> Tensor:
    """Check that paths exist: every step is an edge of the graph, from history item to candidate.

    Args:
        data: the graph.
        paths: ``P`` instances, on the same device.

    Returns:
        bool ``[P]``.
    """
    good = torch.ones(len(paths), dtype=torch.bool, device=paths.sample.device)
    good &= paths.nodes[:, 0] == paths.history_items[paths.sample, paths.history]
    lengths = torch.tensor([len(m) for m in paths.metapaths], device=good.device)
    if len(paths):
        length = lengths[paths.metapath]
        last = paths.nodes.gather(1, length[:, None]).squeeze(1)
        good &= last == paths.candidate_items[paths.sample, paths.candidate]
        step = torch.arange(paths.nodes.shape[1], device=good.device)
        good &= ((paths.nodes >= 0) == (step <= length[:, None])).all(1)
    for number, metapath in enumerate(paths.metapaths):
        index = (paths.metapath == number).nonzero().squeeze(1)
        for place, edge_type in enumerate(metapath):
            if index.numel() == 0:
                break
            good[index] &= _edges_exist(data, edge_type, paths.nodes[index, place : place + 2])
    return good


def share_existing(data: HeteroData, paths: PathBatch, worded: Tensor | None = None) -> float:
    """Share of the worded paths that exist in the graph; must be 1. NaN without any path.

    Args:
        data: the graph.
        paths: the paths of the prompts.
        worded: bool ``[P]`` or int64 indices, the paths that the prompts contain; all by default.
    """
    chosen = paths if worded is None else paths.select(worded)
    return float(exist(data, chosen).double().mean()) if len(chosen) else float("nan")


def _edges_exist(data: HeteroData, edge_type: tuple[str, str, str], ends: Tensor) -> Tensor:
    """Check that pairs of nodes, int64 ``[N, 2]``, are edges of a type; bool ``[N]``."""
    if edge_type not in data.edge_types:
        return torch.zeros(len(ends), dtype=torch.bool, device=ends.device)
    edge_index = data[edge_type].edge_index
    size = int(data[edge_type[2]].num_nodes)
    inside = ((ends >= 0) & (ends < torch.tensor([2**31, size], device=ends.device))).all(1)
    edges = edge_index[0] * size + edge_index[1]
    return inside & torch.isin(ends[:, 0] * size + ends[:, 1], edges)


@dataclass(frozen=True)
class Deletion:
    """How far each list's first item falls when its paths are deleted.

    Attributes:
        fall: int64 ``[N]``, places that the item falls without its worded paths, for the ``N`` prompts
            whose first item has some.
        score: float ``[N]``, the score that it loses.
        control: int64 ``[N]``, places that it falls without as many paths of other candidates.
        spare: int64 ``[M]``, places that it falls without as many of its own paths outside the prompt, for
            the ``M`` prompts whose first item has that many.
    """

    fall: Tensor
    score: Tensor
    control: Tensor
    spare: Tensor

    def parts(self) -> dict[str, Tensor]:
        """The attributes by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def summary(self) -> dict[str, float]:
        """The mean of each attribute over its prompts; NaN if there are none."""
        return {name: float(v.double().mean()) for name, v in self.parts().items()}


def deletion_test(
    rank: Callable[[PathBatch], Tensor],
    worded: Callable[[PathBatch], Tensor],
    paths: PathBatch,
    seed: int = 0,
) -> Deletion:
    """Delete the worded paths of each list's first item, rank again, and measure how far it falls.

    Two controls delete as many paths, drawn at random: the first those of other candidates, the second the
    item's own paths that its prompt does not show. The first control is easy to pass if each candidate is
    scored by its own paths. Paths that matter make the item fall further than in the second control, too.

    Args:
        rank: gives the scores ``[B, C]`` of a batch, ``-inf`` in padding; deterministic.
        worded: gives the paths that the prompts of a batch show, bool ``[P]``.
        paths: the batch.
        seed: of the controls' draws.
    """
    before = rank(paths)
    shown = worded(paths)
    top = before.argmax(1)
    first = paths.candidate == top[paths.sample]
    gone = shown & first
    with_paths = torch.zeros(paths.num_prompts, dtype=torch.bool, device=gone.device)
    with_paths[paths.sample[gone]] = True
    after = rank(paths.select(~gone))
    control = rank(paths.select(~_draw(paths, gone, ~first, seed)))
    hidden = first & ~shown
    spare = rank(paths.select(~_draw(paths, gone, hidden, seed)))
    has_enough = with_paths & (_count(paths, hidden) >= _count(paths, gone))
    rows = torch.arange(paths.num_prompts, device=gone.device)
    return Deletion(
        fall=(_count_ahead(after, top) - _count_ahead(before, top))[with_paths],
        score=(before[rows, top] - after[rows, top])[with_paths],
        control=(_count_ahead(control, top) - _count_ahead(before, top))[with_paths],
        spare=(_count_ahead(spare, top) - _count_ahead(before, top))[has_enough],
    )


def _count_ahead(scores: Tensor, slot: Tensor) -> Tensor:
    """How many candidates rank before a slot, int64 ``[B]``; equal scores rank by slot."""
    mine = scores.gather(1, slot[:, None])
    slots = torch.arange(scores.shape[1], device=scores.device)
    return ((scores > mine) | ((scores == mine) & (slots < slot[:, None]))).sum(1)


def _count(paths: PathBatch, selected: Tensor) -> Tensor:
    """How many of the selected paths each prompt has, int64 ``[B]``."""
    return torch.bincount(paths.sample[selected], minlength=paths.num_prompts)


def _draw(paths: PathBatch, gone: Tensor, pool: Tensor, seed: int) -> Tensor:
    """Draw as many paths of a pool as are gone, for each prompt, or the whole pool if it has fewer.

    Args:
        paths: ``P`` paths.
        gone: bool ``[P]``, the deleted paths.
        pool: bool ``[P]``, the paths to draw from.
        seed: of the draw.

    Returns:
        bool ``[P]``.
    """
    generator = torch.Generator().manual_seed(seed)
    key = torch.rand(len(paths), generator=generator).to(gone.device)
    # Each prompt's paths in random order, those of the pool first: the first ones are drawn.
    order = torch.argsort(key + 2.0 * ~pool)
    order = order[torch.argsort(paths.sample[order], stable=True)]
    count = torch.bincount(paths.sample, minlength=paths.num_prompts)
    start = count.cumsum(0) - count
    place = torch.arange(len(paths), device=gone.device) - start[paths.sample[order]]
    number = _count(paths, gone)
    drawn = torch.zeros_like(gone)
    drawn[order] = place < number[paths.sample[order]]
    return drawn & pool
