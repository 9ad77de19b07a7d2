"""The suite of every store that gives rows."""

import numpy as np
import pytest
from helpers.stores import MemoryStore
from torch_geometric.testing import MyFeatureStore, MyGraphStore

from lkgrag.kg import LadybugStore, RemoteKG, RowReads, Rows, write_ladybug
from lkgrag.kg.store.rows import WholeRelations
from lkgrag.testing import RowReadsTests, toy_kg


class TestMemory(RowReadsTests):
    def store(self, data, folder):
        return MemoryStore(data)


class TestLadybug(RowReadsTests):
    def store(self, data, folder):
        write_ladybug(data, folder / "graph")
        return LadybugStore(folder / "graph", memory="32MB")


class TestWholeRelations(RowReadsTests):
    def store(self, data, folder):
        features, graph = MyFeatureStore(), MyGraphStore()
        for edge_type in data.edge_types:
            edges = data[edge_type]
            size = tuple(int(data[kind].num_nodes) for kind in edge_type[::2])
            graph.put_edge_index(edges.edge_index, edge_type=edge_type, layout="coo", size=size)
            if "weight" in edges:
                features.put_tensor(
                    edges.weight, group_name=edge_type, attr_name="weight", index=None
                )
        return WholeRelations(RemoteKG(features, graph))


def test_every_store_has_a_suite():
    stores = {cls for cls in RowReads.__subclasses__() if cls.__module__.startswith("lkgrag.")}
    assert stores == {LadybugStore, WholeRelations}


def broken(**methods):
    """The suite of a store that answers wrongly."""
    cls = type("Broken", (MemoryStore,), methods)
    return type("Suite", (RowReadsTests,), {"store": lambda self, data, folder: cls(data)})()


def turns_rows(self, edge_type, nodes, into):
    rows = MemoryStore.get_rows(self, edge_type, nodes, into)
    return Rows(rows.indptr, rows.other[::-1], rows.weight)


def forgets_the_way(self, edge_type, nodes, into):
    return MemoryStore.get_rows(self, edge_type, nodes, False)


def forgets_weights(self, edge_type, nodes, into):
    rows = MemoryStore.get_rows(self, edge_type, nodes, into)
    return Rows(rows.indptr, rows.other)


def counts_too_many(self, edge_type):
    return MemoryStore.get_degrees(self, edge_type) + np.int32(1)


@pytest.mark.parametrize(
    ("methods", "test"),
    [
        ({"get_rows": turns_rows}, "test_rows_hold_the_edges_of_all_nodes"),
        ({"get_rows": forgets_the_way}, "test_rows_hold_the_edges_of_all_nodes"),
        (
            {"get_rows": forgets_weights},
            "test_rows_of_some_nodes_are_those_that_they_have_among_all",
        ),
        ({"get_degrees": counts_too_many}, "test_degrees_are_counted_without_repetitions"),
        ({"get_degrees": counts_too_many}, "test_paths_are_those_of_memory"),
        ({"num_nodes": lambda self, kind: 1}, "test_nodes_are_counted"),
        (
            {"stored": lambda self, edge_type: (edge_type, True)},
            "test_rows_can_be_read_by_the_stored_type",
        ),
    ],
)
def test_a_wrong_answer_is_noticed(methods, test, tmp_path):
    suite, data = broken(**methods), toy_kg()
    with pytest.raises((AssertionError, IndexError, ValueError)):
        getattr(suite, test)(data, suite.store(data, tmp_path))
