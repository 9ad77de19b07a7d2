"""Whether the paths that explain a ranking exist, and whether the ranking depends on them.

The check of existence reads ``edge_index`` alone and shares no code with the search for paths.
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
    """Which paths exist in a graph: every step is an edge, from the history item to the candidate.

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
        of = (paths.metapath == number).nonzero().squeeze(1)
        for place, edge_type in enumerate(metapath):
            if of.numel() == 0:
                break
            good[of] &= _edges_exist(data, edge_type, paths.nodes[of, place : place + 2])
    return good


def share_existing(data: HeteroData, paths: PathBatch, worded: Tensor | None = None) -> float:
    """Share of the worded paths that exist in the graph; must be 1. NaN without any path.

    Args:
        data: the graph.
        paths: of the prompts.
        worded: bool ``[P]`` or int64 indices, those that stand in the prompts; all by default.
    """
    chosen = paths if worded is None else paths.select(worded)
    return float(exist(data, chosen).double().mean()) if len(chosen) else float("nan")


def _edges_exist(data: HeteroData, edge_type: tuple[str, str, str], ends: Tensor) -> Tensor:
    """Which pairs ``[N, 2]`` are edges of a type, bool ``[N]``."""
    if edge_type not in data.edge_types:
        return torch.zeros(len(ends), dtype=torch.bool, device=ends.device)
    edge_index = data[edge_type].edge_index
    size = int(data[edge_type[2]].num_nodes)
    inside = ((ends >= 0) & (ends < torch.tensor([2**31, size], device=ends.device))).all(1)
    known = edge_index[0] * size + edge_index[1]
    return inside & torch.isin(ends[:, 0] * size + ends[:, 1], known)


@dataclass(frozen=True)
class Deletion:
    """What becomes of the first item of each list when its paths are taken away.

    Attributes:
        fall: int64 ``[N]``, places that it falls, for the ``N`` prompts whose first item had worded
            paths.
        score: float ``[N]``, what its score loses.
        control: int64 ``[N]``, places that it falls when as many paths of other candidates go.
        spare: int64 ``[M]``, places that it falls when as many of its own paths go that its prompt does not
            show; of the ``M`` prompts whose first item has so many.
    """

    fall: Tensor
    score: Tensor
    control: Tensor
    spare: Tensor

    def parts(self) -> dict[str, Tensor]:
        """By name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def summary(self) -> dict[str, float]:
        """Means over prompts; NaN without any."""
        return {name: float(v.double().mean()) for name, v in self.parts().items()}


def deletion_test(
    rank: Callable[[PathBatch], Tensor],
    worded: Callable[[PathBatch], Tensor],
    paths: PathBatch,
    seed: int = 0,
) -> Deletion:
    """Delete the worded paths of each list's first item, rank again, see how far it falls.

    One control deletes as many paths of other candidates, drawn at random, the other as many of the
    item's own paths that its prompt does not show. The first is easily passed where each candidate is
    scored by its own paths; paths that matter make the item fall further than the second does, too.

    Args:
        rank: scores ``[B, C]`` of a batch, ``-inf`` in padding, deterministic.
        worded: which of a batch's paths its prompts show, bool ``[P]``.
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
    control = rank(paths.select(~_drawn(paths, gone, ~first, seed)))
    hidden = first & ~shown
    spare = rank(paths.select(~_drawn(paths, gone, hidden, seed)))
    enough = with_paths & (_each(paths, hidden) >= _each(paths, gone))
    rows = torch.arange(paths.num_prompts, device=gone.device)
    return Deletion(
        fall=(_place(after, top) - _place(before, top))[with_paths],
        score=(before[rows, top] - after[rows, top])[with_paths],
        control=(_place(control, top) - _place(before, top))[with_paths],
        spare=(_place(spare, top) - _place(before, top))[enough],
    )


def _place(scores: Tensor, slot: Tensor) -> Tensor:
    """How many candidates stand before a slot; equals by slot."""
    mine = scores.gather(1, slot[:, None])
    slots = torch.arange(scores.shape[1], device=scores.device)
    return ((scores > mine) | ((scores == mine) & (slots < slot[:, None]))).sum(1)


def _each(paths: PathBatch, which: Tensor) -> Tensor:
    """How many of these paths each prompt has, int64 ``[B]``."""
    return torch.bincount(paths.sample[which], minlength=paths.num_prompts)


def _drawn(paths: PathBatch, gone: Tensor, among: Tensor, seed: int) -> Tensor:
    """As many random paths among these as are gone, prompt by prompt, or all there are; bool ``[P]``."""
    generator = torch.Generator().manual_seed(seed)
    luck = torch.rand(len(paths), generator=generator).to(gone.device)
    # Those among which is drawn by luck, prompt by prompt: the first so many of each prompt go.
    order = torch.argsort(luck + 2.0 * ~among)
    order = order[torch.argsort(paths.sample[order], stable=True)]
    count = torch.bincount(paths.sample, minlength=paths.num_prompts)
    start = count.cumsum(0) - count
    place = torch.arange(len(paths), device=gone.device) - start[paths.sample[order]]
    wanted = _each(paths, gone)
    out = torch.zeros_like(gone)
    out[order] = place < wanted[paths.sample[order]]
    return out & among
