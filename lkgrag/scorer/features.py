"""Features that scorers compute from a graph and a batch: degrees, ratings, pooled values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor
from torch_geometric.utils import degree, scatter

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.paths import PathBatch

T = TypeVar("T")
#: Number of graphs whose values are kept: those of the training examples, one a fold, and that of serving.
REMEMBERED = 8


class PerGraph(Generic[T]):
    """Computes a value once for each graph, and keeps it while the graph's tensors are the same.

    Args:
        compute: computes the value from the graph; it must not depend on parameters.
    """

    def __init__(self, compute: Callable[[HeteroData], T]) -> None:
        self._compute = compute
        self._values: list[tuple[list[tuple[Tensor, int]], T]] = []

    def __call__(self, data: HeteroData) -> T:
        """Return the value for a graph."""
        # The key holds the tensors, not their ids, which Python gives to new tensors after old ones are gone.
        key = [(tensor, tensor._version) for tensor in tensors_of(data)]
        for other, value in self._values:
            if len(other) == len(key) and all(
                a is b and m == n for (a, m), (b, n) in zip(other, key, strict=True)
            ):
                return value
        # Training may need the value, too, which it could not take from the inference mode.
        with torch.inference_mode(False):
            value = self._compute(data)
        self._values = [(key, value), *self._values][:REMEMBERED]
        return value

    def __deepcopy__(self, memo: dict[int, Any]) -> PerGraph[T]:
        """Copy without the values: a copy of a module computes them again."""
        return PerGraph(copy.deepcopy(self._compute, memo))

    def __getstate__(self) -> dict[str, Any]:
        """The state without the values, for the same reason."""
        return {"_compute": self._compute, "_values": []}


def tensors_of(data: HeteroData) -> list[Tensor]:
    """The tensors of a graph that are on edges, such as their ends, weights and times."""
    return [value for s in data.edge_stores for value in s.values() if isinstance(value, Tensor)]


def log_degrees(data: HeteroData, edge_types: list[EdgeType], end: int) -> Tensor:
    r"""Compute :math:`\log(1 + d)` of the degrees of all nodes, for each edge type.

    Args:
        data: the graph.
        edge_types: ``E`` edge types, all with the same node type at ``end``.
        end: 0 counts outgoing edges of the source, 1 incoming edges of the target.

    Returns:
        Shape ``[E, N]``.
    """
    rows = []
    for edge_type in edge_types:
        size = int(data[edge_type[2 * end]].num_nodes or 0)
        rows.append(degree(data[edge_type].edge_index[end], size))
    if not rows:
        device = data.edge_stores[0].edge_index.device if data.edge_stores else "cpu"
        return torch.zeros(0, int(data["item"].num_nodes or 0), device=device)
    return torch.stack(rows).log1p()


def standardised(rows: Tensor) -> Tensor:
    """Scale each row ``[E, N]`` to mean 0 and standard deviation 1; a constant row becomes 0."""
    centred = rows - rows.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()
    return centred / spread.clamp(min=1e-3)


def rating_deviation(paths: PathBatch) -> tuple[Tensor, Tensor]:
    """Compute how far each history item's rating is from the user's mean, in standard deviations.

    Returns:
        The deviations ``[B, H]``, 0 if the rating is unknown or all ratings of the user are the same. And
        bool ``[B, H]``, which ratings are known.
    """
    is_known = paths.history_rating.isfinite() & (paths.history_items >= 0)
    if is_known.device.type == "cpu" and not bool(is_known.any()):
        # A history is often given without ratings. On a GPU, the question would take longer than the answer.
        return torch.zeros_like(paths.history_rating), is_known
    rating = paths.history_rating.masked_fill(~is_known, 0.0)
    count = is_known.sum(1, keepdim=True).clamp(min=1)
    deviation = (rating - rating.sum(1, keepdim=True) / count).masked_fill(~is_known, 0.0)
    spread = (deviation.square().sum(1, keepdim=True) / count).sqrt()
    # A spread that is only rounding error counts as none.
    size = rating.abs().amax(1, keepdim=True) if rating.shape[1] else spread
    is_varied = spread > 1e-6 * size.clamp(min=1e-12)
    return deviation / torch.where(is_varied, spread, 1.0) * is_varied, is_known


def sum_by(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum ``values`` ``[P, ...]`` by ``index`` ``[P]`` into ``[size, ...]``, in their dtype."""
    return scatter(values, index, dim=0, dim_size=size, reduce="sum")
