"""Paths from mapped tables and from PyG's remote interfaces are those of the graph in memory."""

import numpy as np
import pytest
import torch
from helpers.path_graphs import queries as queries_of
from torch_geometric.data import HeteroData
from torch_geometric.testing import MyFeatureStore, MyGraphStore

from lkgrag.config import KGConfig, PathsConfig
from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.kg import RemoteKG
from lkgrag.paths import PathFinder
from lkgrag.paths.metapath_search import lookup
from lkgrag.paths.metapath_search import two_edges as short
from lkgrag.testing import toy_kg


@pytest.fixture(scope="module")
def data():
    return toy_kg(KGConfig(behaviour_min=1))


def shifted_queries(data):
    items = np.arange(int(data["item"].num_nodes))
    history = np.stack([np.roll(items, n)[:5] for n in range(6)])
    return queries_of(history, np.stack([np.roll(items, -n)[:7] for n in range(6)]))


def assert_same(a, b):
    assert a.metapaths == b.metapaths
    for name in ("sample", "candidate", "history", "metapath", "nodes", "weight"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_mapped_tables_give_the_same_paths(data, tmp_path):
    queries = shifted_queries(data)
    expected = PathFinder(data, PathsConfig())(queries)
    assert len(expected)
    assert_same(expected, PathFinder(data, PathsConfig(), tmp_path)(queries))
    opened = PathFinder.open(tmp_path)
    assert isinstance(opened._short.tables.edge_target, np.memmap)
    assert_same(expected, opened(queries))


def test_numpy_finds_what_the_compiled_lookup_finds(data, monkeypatch):
    queries = shifted_queries(data)
    expected = PathFinder(data, PathsConfig())(queries)
    monkeypatch.setattr(short, "edges_between", lookup.vectorised_lookup)
    monkeypatch.setattr(short, "values_between", lookup.vectorised_shared)
    assert_same(expected, PathFinder(data, PathsConfig())(queries))


def test_long_paths_do_not_fit_into_tables(data, tmp_path):
    with pytest.raises(ConfigError, match=r"paths\.max_length to 2"):
        PathFinder(data, PathsConfig(through_items=True), tmp_path)


def test_broken_tables_are_named(data, tmp_path):
    PathFinder(data, PathsConfig(), tmp_path)
    path = tmp_path / "edge_target.npy"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(LkgragError, match=r"edge_target\.npy: broken"):
        PathFinder.open(tmp_path)
    path.unlink()
    with pytest.raises(LkgragError, match=r"edge_target\.npy"):
        PathFinder.open(tmp_path)
    (tmp_path / "tables.json").unlink()
    with pytest.raises(LkgragError, match=r"tables\.json: no such file"):
        PathFinder.open(tmp_path)


#: Without a cap: its choice among equal paths follows the order of the relations, which stores do not keep.
EVERY = PathsConfig(max_per_pair=64)


def as_rows(batch):
    """The paths as a set that does not depend on the numbers of the meta-paths."""
    columns = (batch.sample, batch.candidate, batch.history, batch.metapath, batch.weight)
    rows = zip(*(c.tolist() for c in columns), batch.nodes.tolist(), strict=True)
    return {(s, c, h, batch.metapaths[m], w, *n) for s, c, h, m, w, n in rows}


def stores(data, layout, inverses=True):
    """The graph in PyG's stores."""
    features, graph = MyFeatureStore(), MyGraphStore()
    for edge_type in data.edge_types:
        if not inverses and edge_type[1].startswith("rev_"):
            continue
        row, column = data[edge_type].edge_index
        size = tuple(int(data[n].num_nodes) for n in edge_type[::2])
        if layout == "csr":
            row = torch.cat(
                [torch.zeros(1, dtype=torch.long), row.bincount(minlength=size[0]).cumsum(0)]
            )
        graph.put_edge_index((row, column), edge_type=edge_type, layout=layout, size=size)
        if "weight" in data[edge_type]:
            features.put_tensor(
                data[edge_type].weight, group_name=edge_type, attr_name="weight", index=None
            )
    return features, graph


@pytest.mark.parametrize("layout", ["coo", "csr"])
@pytest.mark.parametrize("mapped", [False, True])
def test_remote_stores_give_the_same_paths(data, layout, mapped, tmp_path):
    queries = shifted_queries(data)
    expected = as_rows(PathFinder(data, EVERY)(queries))
    remote = RemoteKG(*stores(data, layout))
    assert expected
    assert expected == as_rows(PathFinder(remote, EVERY, tmp_path if mapped else None)(queries))


def test_inverses_are_read_backwards(data):
    remote = RemoteKG(*stores(data, "coo", inverses=False))
    assert set(remote.edge_types) >= set(data.edge_types)
    for edge_type in data.edge_types:
        expected = {tuple(e) for e in data[edge_type].edge_index.T.tolist()}
        assert {tuple(e) for e in remote[edge_type].edge_index.T.tolist()} == expected


def test_a_graph_of_pyg_is_both_stores(data):
    queries = shifted_queries(data)
    plain = HeteroData()
    for node in data.node_types:
        plain[node].x = torch.zeros(data[node].num_nodes, 1)
    for edge_type in data.edge_types:
        plain[edge_type].edge_index = data[edge_type].edge_index
    expected = as_rows(PathFinder(plain, EVERY)(queries))
    assert expected == as_rows(PathFinder(RemoteKG(plain, plain), EVERY)(queries))


def test_stores_without_items_or_sizes_are_refused():
    graph = MyGraphStore()
    edges = torch.tensor([[0], [0]])
    graph.put_edge_index(edges, edge_type=("a", "to", "b"), layout="coo", size=(1, 1))
    with pytest.raises(DataError, match="no node type 'item', only a, b"):
        RemoteKG(None, graph)
    graph = MyGraphStore()
    graph.put_edge_index(edges, edge_type=("item", "to", "b"), layout="coo")
    with pytest.raises(DataError, match="do not tell how many nodes item has"):
        RemoteKG(None, graph)
