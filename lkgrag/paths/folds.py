"""The graphs of training examples: each example has its paths in a graph that does not hold its answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from lkgrag.data.queries import Queries
    from lkgrag.paths.base import GraphPaths
    from lkgrag.paths.batch import PathBatch


@dataclass(frozen=True)
class ExamplePaths:
    """Graphs with the same types and nodes, and which of them is that of a user's examples.

    A batch has one graph. So whoever makes batches of examples makes them within :meth:`folds_of`.

    Attributes:
        graphs: one for each fold of users; at least one.
        fold: int64 ``[num_users]``, index of each user's graph. None with one graph for all.

    Raises:
        ValueError: there are several graphs and no folds, or no graph.
    """

    graphs: list[GraphPaths]
    fold: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check that each user has a graph."""
        if not self.graphs or (len(self.graphs) > 1 and self.fold is None):
            raise ValueError("give one graph, or several with the fold of each user")

    def folds_of(self, queries: Queries) -> NDArray[np.int64]:
        """The index of each query's graph, int64 ``[B]``.

        Raises:
            ValueError: there are several graphs and a user is unknown.
        """
        if self.fold is None or len(self.graphs) == 1:
            return np.zeros(len(queries), np.int64)
        if len(queries) and int(queries.user.min()) < 0:
            raise ValueError("an example of an unknown user has no fold")
        return self.fold[queries.user]

    def parts(self, queries: Queries) -> Iterator[tuple[GraphPaths, NDArray[np.int64]]]:
        """Each graph that has queries, and the indices of its queries, int64 in rising order."""
        folds = self.folds_of(queries)
        for number in np.unique(folds):
            yield self.graphs[number], np.flatnonzero(folds == number)

    def graph_of(self, queries: Queries) -> GraphPaths:
        """The graph of a batch.

        Raises:
            ValueError: the queries are of several folds.
        """
        folds = np.unique(self.folds_of(queries))
        if len(folds) > 1:
            raise ValueError("a batch must lie in one fold")
        return self.graphs[int(folds[0]) if len(folds) else 0]

    def to(self, device: torch.device | str) -> ExamplePaths:
        """Move the graphs to a device; the searches stay on the CPU."""
        return ExamplePaths([graph.to(device) for graph in self.graphs], self.fold)

    def chunks(self, queries: Queries) -> Iterator[PathBatch]:
        """Find the paths of many queries, some at a time, fold by fold.

        Without queries there is one empty part, which has the meta-paths.
        """
        if not len(queries):
            yield from self.graphs[0].chunks(queries)
        for graph, index in self.parts(queries):
            yield from graph.chunks(queries[index])
