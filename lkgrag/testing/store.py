"""The suite of a graph store that gives rows.

In a test file::

    from lkgrag.testing import RowReadsTests

    class TestMyStore(RowReadsTests):
        def store(self, data, folder):
            return MyStore.written(data, folder / "graph")

The tests check the contract of :class:`~lkgrag.kg.RowReads` on the graph of ten films.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from lkgrag.config import KGConfig, PathsConfig
from lkgrag.data.queries import Queries
from lkgrag.kg import RowReads, Rows
from lkgrag.paths import PathFinder, StoreFinder
from lkgrag.paths.metapath import ITEM, USER, metapaths
from lkgrag.testing.graph import toy_kg

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.paths import PathBatch


class RowReadsTests(ABC):
    """Inherit, and define ``store``.

    Attributes:
        has_weights: whether the store keeps the weights of edges between items.
    """

    has_weights: ClassVar[bool] = True

    @abstractmethod
    def store(self, data: HeteroData, folder: Path) -> RowReads:
        """Put a graph into a new store. Users may be left out.

        Args:
            data: the graph.
            folder: an empty one.
        """

    @pytest.fixture
    def data(self) -> HeteroData:
        """The graph of the tests."""
        return toy_kg(KGConfig(behaviour_min=1))

    @pytest.fixture
    def reads(self, data: HeteroData, tmp_path: Path) -> RowReads:
        """The store under test."""
        return self.store(data, tmp_path)

    def test_it_has_the_meta_paths_of_the_graph(self, data: HeteroData, reads: RowReads) -> None:
        """Its relations, with the inverses that are to be read, give the same meta-paths, each once."""
        found = metapaths(reads.edge_types, PathsConfig())
        assert len(set(found)) == len(found)
        assert set(found) == set(metapaths(data.edge_types, PathsConfig()))

    def test_nodes_are_counted(self, data: HeteroData, reads: RowReads) -> None:
        """Every type that a path visits has its number of nodes."""
        for kind in {e[i] for e in _known(data, reads) for i in (0, 2)}:
            assert reads.num_nodes(kind) == data[kind].num_nodes, kind

    def test_rows_hold_the_edges_of_all_nodes(self, data: HeteroData, reads: RowReads) -> None:
        """In both directions, without loops and repetitions, the other ends rising."""
        for edge_type in _known(data, reads):
            for into in (False, True):
                nodes = np.arange(_size(data, edge_type, into))
                self._check(data, reads, edge_type, nodes, into)

    def test_rows_of_some_nodes_are_those_that_they_have_among_all(
        self, data: HeteroData, reads: RowReads
    ) -> None:
        """Also of a single node, and of none."""
        for edge_type in _known(data, reads):
            for into in (False, True):
                number = _size(data, edge_type, into)
                for some in (slice(0), slice(1), slice(1, None, 2), slice(number - 1, None)):
                    self._check(data, reads, edge_type, np.arange(number)[some], into)

    def test_a_node_that_is_not_there_has_an_empty_row(
        self, data: HeteroData, reads: RowReads
    ) -> None:
        """It stands for an item that came after the store was written."""
        for edge_type in _known(data, reads):
            for into in (False, True):
                number = _size(data, edge_type, into)
                self._check(data, reads, edge_type, np.array([0, number, number + 7]), into)

    def test_rows_can_be_read_by_the_stored_type(self, data: HeteroData, reads: RowReads) -> None:
        """What :meth:`RowReads.stored` names has the same edges, perhaps from their other end."""
        for edge_type in _known(data, reads):
            kept, is_back = reads.stored(edge_type)
            for into in (False, True):
                nodes = np.arange(_size(data, edge_type, into))
                told = reads.get_rows(edge_type, nodes, into)
                stored = reads.get_rows(kept, nodes, into != is_back)
                np.testing.assert_array_equal(told.indptr, stored.indptr)
                np.testing.assert_array_equal(told.other, stored.other)

    def test_degrees_are_counted_without_repetitions(
        self, data: HeteroData, reads: RowReads
    ) -> None:
        """One for each target, those without an edge among them."""
        for edge_type in _known(data, reads):
            degree = reads.get_degrees(edge_type)
            assert degree.dtype == np.int32
            np.testing.assert_array_equal(degree, _degrees(data, edge_type))

    def test_paths_are_those_of_memory(self, data: HeteroData, reads: RowReads) -> None:
        """Read for the first time, and kept from then on."""
        config = PathsConfig(max_per_pair=64)
        finder = StoreFinder(reads, config)
        items = np.arange(data[ITEM].num_nodes)
        histories = [np.roll(items, n)[:5] for n in range(4)]
        candidates = np.stack([np.roll(items, -n)[:6] for n in range(4)])
        queries = Queries.from_histories(histories, candidates, np.zeros((4, 6), np.float32), 5)
        wanted = self._named(PathFinder(data, config)(queries))
        assert wanted
        assert self._named(finder(queries)) == wanted
        assert self._named(finder(queries)) == wanted

    def _check(
        self,
        data: HeteroData,
        reads: RowReads,
        edge_type: EdgeType,
        nodes: NDArray[np.int64],
        into: bool,
    ) -> None:
        """Compare the rows of some nodes with the edges of the graph."""
        asked = nodes.copy()
        rows = reads.get_rows(edge_type, asked, into)
        wanted = _rows(data, edge_type, nodes, into)
        np.testing.assert_array_equal(asked, nodes)
        np.testing.assert_array_equal(rows.indptr, wanted.indptr)
        np.testing.assert_array_equal(rows.other, wanted.other)
        if self.has_weights and wanted.weight is not None:
            assert rows.weight is not None, f"{edge_type}: edges between items have weights"
            np.testing.assert_array_equal(rows.weight, wanted.weight)
        if rows.degree is not None and not into:
            np.testing.assert_array_equal(rows.degree, _degrees(data, edge_type)[rows.other])

    def _named(self, batch: PathBatch) -> set[tuple[object, ...]]:
        """Paths by the names of their relations: the order of relations is the store's."""
        weight = batch.weight if self.has_weights else batch.weight * 0
        columns = (batch.sample, batch.candidate, batch.history, weight, batch.metapath)
        rows = zip(*(column.tolist() for column in columns), batch.nodes.tolist(), strict=True)
        return {(b, c, h, w, batch.metapaths[m], tuple(nodes)) for b, c, h, w, m, nodes in rows}


def _known(data: HeteroData, reads: RowReads) -> list[EdgeType]:
    """The relations of meta-paths."""
    used = {step for path in metapaths(data.edge_types, PathsConfig()) for step in path}
    assert not any(USER in step for step in used)
    return [step for step in reads.edge_types if step in used]


def _size(data: HeteroData, edge_type: EdgeType, into: bool) -> int:
    return int(data[edge_type[2 if into else 0]].num_nodes)


def _rows(data: HeteroData, edge_type: EdgeType, nodes: NDArray[np.int64], into: bool) -> Rows:
    """The rows of a graph in memory."""
    edges, between = data[edge_type], edge_type[0] == edge_type[2]
    source, target = edges.edge_index.numpy()
    near, far = (target, source) if into else (source, target)
    keep = np.isin(near, nodes)
    weight = edges.weight.numpy()[keep] if between and "weight" in edges else None
    return Rows.of(nodes, (near[keep], far[keep]), between, weight)


def _degrees(data: HeteroData, edge_type: EdgeType) -> NDArray[np.int64]:
    """How many edges lead to each target."""
    nodes = np.arange(data[edge_type[0]].num_nodes)
    rows = _rows(data, edge_type, nodes, False)
    return np.bincount(rows.other, minlength=data[edge_type[2]].num_nodes)
