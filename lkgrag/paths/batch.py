"""The path instances of a batch of prompts, as index tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lkgrag.kg.base import MetaPath
from lkgrag.paths.batch_check import are_indices_sound
from lkgrag.utils.jit import JIT
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from lkgrag.data.queries import Queries


class PathColumns(NamedTuple):
    """The columns of ``P`` instances; see :class:`PathBatch`."""

    sample: Tensor
    candidate: Tensor
    history: Tensor
    metapath: Tensor
    nodes: Tensor
    weight: Tensor


@dataclass(frozen=True)
class PathBatch:
    """``P`` path instances between history items and candidates, for ``B`` prompts.

    The instances are sorted by (sample, candidate). A slot is a place within a prompt: slot ``h`` of
    ``history_items[b]``, or slot ``c`` of ``candidate_items[b]``. -1 is padding.

    Attributes:
        metapaths: the meta-paths that ``metapath`` indexes, each a tuple of edge types.
        sample: int64 ``[P]``, which prompt.
        history: int64 ``[P]``, history slot that the path starts from.
        candidate: int64 ``[P]``, candidate slot that it ends at.
        metapath: int64 ``[P]``, index into ``metapaths``.
        nodes: int64 ``[P, L]``, node indices from history item to candidate, each within its node
            type, -1 padding on the right. ``L`` is the number of nodes of the longest meta-path.
        weight: float32 ``[P]``, how strong or rare the path is, in (0, 1] (see
            :mod:`lkgrag.paths.metapath_search.finder`).
        user: int64 ``[B]``, -1 for an unknown user.
        history_items: int64 ``[B, H]``, oldest first.
        candidate_items: int64 ``[B, C]``.
        history_rating: float32 ``[B, H]``, NaN where unknown.
        history_time: float64 ``[B, H]``, NaN where unknown.
        history_age: int64 ``[B, H]``, 0 for the latest item, 1 for the one before; -1 padding.
        time: float64 ``[B]``, of the prediction, NaN where unknown.
        prior: float32 ``[B, C]``, log-softmax of the retriever's scores over the candidates;
            ``-inf`` in padding.

    Raises:
        ValueError: a shape, a dtype, an index or the order is not as stated.
    """

    metapaths: list[MetaPath]
    sample: Tensor
    history: Tensor
    candidate: Tensor
    metapath: Tensor
    nodes: Tensor
    weight: Tensor
    user: Tensor
    history_items: Tensor
    candidate_items: Tensor
    history_rating: Tensor
    history_time: Tensor
    history_age: Tensor
    time: Tensor
    prior: Tensor

    __repr__ = sizes

    def __post_init__(self) -> None:
        """Check shapes, dtypes, indices and order once, so that no scorer has to."""
        num_paths = self.sample.numel()
        num_prompts, num_history = self.history_items.shape
        num_candidates = self.candidate_items.shape[1]
        length = max((len(m) + 1 for m in self.metapaths), default=0)
        if (
            self.nodes.dim() != 2
            or self.nodes.shape[0] != num_paths
            or (num_paths and self.nodes.shape[1] < length)
        ):
            raise ValueError(
                f"nodes must have shape [{num_paths}, {length}], got {list(self.nodes.shape)}"
            )
        shapes = {
            "sample": (num_paths,),
            "history": (num_paths,),
            "candidate": (num_paths,),
            "metapath": (num_paths,),
            "weight": (num_paths,),
            "user": (num_prompts,),
            "history_rating": (num_prompts, num_history),
            "history_time": (num_prompts, num_history),
            "history_age": (num_prompts, num_history),
            "candidate_items": (num_prompts, num_candidates),
            "time": (num_prompts,),
            "prior": (num_prompts, num_candidates),
        }
        for name, shape in shapes.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"{name} must have shape {list(shape)}, got {list(got)}")
        floats = {"weight", "history_rating", "history_time", "time", "prior"}
        for name in (*shapes, "nodes", "history_items"):
            tensor = getattr(self, name)
            if name in floats and not tensor.is_floating_point():
                raise ValueError(f"{name} must be a float tensor, got {tensor.dtype}")
            if name not in floats and tensor.dtype != torch.int64:
                raise ValueError(f"{name} must be int64, got {tensor.dtype}")
        if num_paths:
            self._check_indices(num_prompts, num_history, num_candidates)

    def _check_indices(self, num_prompts: int, num_history: int, num_candidates: int) -> None:
        if JIT and self.sample.device.type == "cpu":
            slots = tuple(
                x.numpy() for x in (self.sample, self.history, self.candidate, self.metapath)
            )
            first, items = self.nodes[:, 0].numpy(), self.history_items.numpy()
            if are_indices_sound(slots, first, items, num_candidates, len(self.metapaths)):
                return
        # Only here is it worth the time to find out what is wrong.
        limits = {
            "sample": num_prompts,
            "history": num_history,
            "candidate": num_candidates,
            "metapath": len(self.metapaths),
        }
        for name, size in limits.items():
            index = getattr(self, name)
            low, high = (int(end) for end in index.aminmax())
            if low < 0 or high >= size:
                raise ValueError(f"{name} must lie in [0, {size}), got {low} to {high}")
        slot = self.sample * num_candidates + self.candidate
        if bool((slot[1:] < slot[:-1]).any()):
            raise ValueError("paths must be sorted by (sample, candidate)")
        starts = self.history_items[self.sample, self.history]
        if bool((starts != self.nodes[:, 0]).any()):
            raise ValueError("a path must start at the item of its history slot")

    @classmethod
    def of(
        cls,
        queries: Queries,
        metapaths: list[MetaPath],
        columns: PathColumns,
    ) -> PathBatch:
        """Join queries with the paths that were found for them.

        Args:
            queries: ``B`` rankings to make.
            metapaths: that ``columns.metapath`` indexes.
            columns: of the instances, sorted by (sample, candidate).
        """
        names = (
            "user",
            "history_items",
            "candidate_items",
            "history_rating",
            "history_time",
            "history_age",
            "time",
            "prior",
        )
        prompts = {
            name: torch.from_numpy(np.require(getattr(queries, name), requirements=["C", "W"]))
            for name in names
        }
        return cls(metapaths, **columns._asdict(), **prompts)

    def __len__(self) -> int:
        """Number of path instances."""
        return self.sample.numel()

    @property
    def num_prompts(self) -> int:
        """Number of prompts ``B``."""
        return self.history_items.shape[0]

    @property
    def num_candidates(self) -> int:
        """Number of candidate slots ``C``."""
        return self.candidate_items.shape[1]

    @property
    def slot(self) -> Tensor:
        """Flat candidate slot ``sample * C + candidate`` of each path, int64 ``[P]``, sorted."""
        return self.sample * self.num_candidates + self.candidate

    @property
    def candidate_mask(self) -> Tensor:
        """Which candidate slots are filled, bool ``[B, C]``."""
        return self.candidate_items >= 0

    def to(self, device: torch.device | str) -> PathBatch:
        """Move the batch to a device; the batch itself if it is there."""
        if self.sample.device == torch.device(device):
            return self
        moved = {
            f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "metapaths"
        }
        return replace(self, **moved)

    def select(self, keep: Tensor) -> PathBatch:
        """Keep some of the paths; prompts and candidates stay.

        Args:
            keep: bool ``[P]``, or int64 indices in rising order.
        """
        per_path = ("sample", "history", "candidate", "metapath", "nodes", "weight")
        return replace(self, **{name: getattr(self, name)[keep] for name in per_path})

    def prompts(self, index: Tensor) -> PathBatch:
        """Keep some of the prompts, in the order of ``index``.

        Args:
            index: int64 ``[N]``, prompts; a prompt may occur more than once.
        """
        count = torch.bincount(self.sample, minlength=self.num_prompts)
        start, chosen = count.cumsum(0) - count, count[index]
        sample = torch.repeat_interleave(chosen)
        first = chosen.cumsum(0) - chosen
        offset = torch.arange(len(sample), device=sample.device) - first[sample]
        keep = start[index][sample] + offset
        per_path = ("history", "candidate", "metapath", "nodes", "weight")
        parts = {name: getattr(self, name)[keep] for name in per_path}
        parts |= {
            f.name: getattr(self, f.name)[index]
            for f in fields(self)
            if f.name not in (*per_path, "metapaths", "sample")
        }
        return replace(self, sample=sample, **parts)
