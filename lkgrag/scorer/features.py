"""What scorers read off a graph and a batch: degrees, recency, ratings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor
from torch_geometric.utils import degree, scatter

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.paths import PathBatch

T = TypeVar("T")
#: Graphs remembered: that of the examples and that of serving.
REMEMBERED = 2


class PerGraph(Generic[T]):
    """Computes something once a graph and remembers it while the edges are the same tensors.

    Args:
        compute: from the graph to what is remembered; must not depend on parameters.
    """

    def __init__(self, compute: Callable[[HeteroData], T]) -> None:
        self._compute = compute
        self._known: list[tuple[list[tuple[Tensor, int]], T]] = []

    def __call__(self, data: HeteroData) -> T:
        """The value for a graph."""
        # Tensors are kept, not their ids, so that none is taken for one that died before it.
        key = [(s.edge_index, s.edge_index._version) for s in data.edge_stores]
        for known, value in self._known:
            if len(known) == len(key) and all(
                a is b and m == n for (a, m), (b, n) in zip(known, key, strict=True)
            ):
                return value
        value = self._compute(data)
        self._known = [(key, value), *self._known][:REMEMBERED]
        return value

    def __deepcopy__(self, memo: object) -> PerGraph[T]:
        """A copy of a module starts with an empty memory."""
        return PerGraph(self._compute)


def log_degrees(data: HeteroData, edge_types: list[EdgeType], end: int) -> Tensor:
    """Logarithm of one more than the degree, per edge type: ``[E, N]``.

    Args:
        data: the graph.
        edge_types: ``E`` of them, all with the same node type at ``end``.
        end: 0 counts outgoing edges of the source, 1 incoming edges of the target.
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
    """Mean 0 and deviation 1 of each row ``[E, N]``; a row without variation is 0."""
    centred = rows - rows.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt()
    return centred / spread.clamp(min=1e-3)


def rating_deviation(paths: PathBatch) -> tuple[Tensor, Tensor]:
    """How far each history item's rating is from the user's own mean, in standard deviations.

    Returns:
        ``[B, H]``, 0 where unknown or where the user rates everything alike; and bool ``[B, H]``,
        known ratings.
    """
    known = paths.history_rating.isfinite() & (paths.history_items >= 0)
    rating = paths.history_rating.masked_fill(~known, 0.0)
    count = known.sum(1, keepdim=True).clamp(min=1)
    deviation = (rating - rating.sum(1, keepdim=True) / count).masked_fill(~known, 0.0)
    spread = (deviation.square().sum(1, keepdim=True) / count).sqrt()
    # A spread of rounding errors is none.
    size = rating.abs().amax(1, keepdim=True) if rating.shape[1] else spread
    varied = spread > 1e-6 * size.clamp(min=1e-12)
    return deviation / torch.where(varied, spread, 1.0) * varied, known


def pooled(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum of ``values`` ``[P, ...]`` by ``index`` ``[P]``, in the values' own type."""
    return scatter(values, index, dim=0, dim_size=size, reduce="sum")
