"""Paths from rows of a store are those of the graph in memory, whatever is kept of them."""

import logging
import pickle

import ladybug
import numpy as np
import pytest
import torch
from helpers.path_graphs import queries as queries_of
from helpers.stores import MemoryStore, asked, assert_same, messy_graphs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData
from torch_geometric.testing import MyFeatureStore, MyGraphStore

from lkgrag.config import KGConfig, PathsConfig
from lkgrag.errors import ConfigError, DataError
from lkgrag.kg import LadybugStore, RemoteKG, write_ladybug
from lkgrag.paths import PathFinder, StoreFinder
from lkgrag.paths.metapath_search import local_tables, store_finder
from lkgrag.paths.metapath_search.row_cache import ENTRY, RowCache
from lkgrag.testing import toy_kg


@settings(max_examples=80, deadline=None)
@given(messy_graphs(), asked(), st.integers(1, 5), st.sampled_from([0, 700, 1 << 20]))
def test_rows_give_the_paths_of_memory(data, prompts, most, cache):
    queries, config = queries_of(*prompts), PathsConfig(max_per_pair=most)
    want = PathFinder(data, config)(queries)
    finder = StoreFinder(MemoryStore(data), config, cache)
    assert_same(want, finder(queries))
    assert_same(want, finder(queries))
    assert finder.cache.taken <= cache


@settings(max_examples=8, deadline=None)
@given(messy_graphs(), asked(), st.integers(1, 5))
def test_a_database_gives_the_paths_of_memory(tmp_path_factory, data, prompts, most):
    queries, config = queries_of(*prompts), PathsConfig(max_per_pair=most)
    path = tmp_path_factory.mktemp("store") / "graph"
    write_ladybug(data, path)
    store = LadybugStore(path, memory="32MB")
    finder = StoreFinder(store, config, cache="1MB")
    want = PathFinder(data, config)(queries)
    assert_same(want, finder(queries))
    assert_same(want, finder(queries))
    assert finder.metapaths == PathFinder(data, config).metapaths
    store.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=50), st.lists(st.integers(0, 10**6), max_size=200))
def test_elements_are_found_behind_equal_remainders(wanted, among):
    wanted, among = np.unique(np.array(wanted, np.int64)), np.array(among, np.int32)
    among = np.concatenate([among, (wanted + 1024).astype(np.int32), wanted.astype(np.int32)])
    places, found = local_tables._find(wanted, among)
    assert places.tolist() == np.flatnonzero(np.isin(among, wanted)).tolist()
    assert (wanted[found] == among[places]).all()


def toy_queries(data):
    items = np.arange(int(data["item"].num_nodes))
    history = np.stack([np.roll(items, n)[:5] for n in range(6)])
    return queries_of(history, np.stack([np.roll(items, -n)[:7] for n in range(6)]))


@pytest.fixture(scope="module")
def toy():
    return toy_kg(KGConfig(behaviour_min=1))


@pytest.fixture(scope="module")
def database(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "graph.lbug"
    write_ladybug(toy, path)
    return path


def test_one_query_a_relation_reads_what_is_not_kept(toy, monkeypatch):
    monkeypatch.setattr(store_finder, "GROUP", 3)
    queries, store = toy_queries(toy), MemoryStore(toy)
    finder = StoreFinder(store, PathsConfig())
    found = finder(queries)
    assert_same(PathFinder(toy, PathsConfig())(queries), found)
    per_group = len(finder._direct) + len(finder._reads)
    assert 0 < len(store.asked) <= 2 * per_group
    # Whatever was read is not read again.
    seen = {}
    for edge_type, into, nodes in store.asked:
        seen.setdefault((edge_type, into), []).extend(nodes)
    assert all(len(nodes) == len(set(nodes)) for nodes in seen.values())
    before = len(store.asked)
    finder(queries)
    assert len(store.asked) == before
    assert finder.cache.hits > 0


def test_a_pickled_finder_opens_its_database_again(toy, database):
    queries = toy_queries(toy)
    want = PathFinder(toy, PathsConfig())(queries)
    finder = StoreFinder(LadybugStore(database, memory="40MB"), PathsConfig(), cache=5000)
    assert_same(want, finder(queries))
    again = pickle.loads(pickle.dumps(finder))
    assert (again.store.memory, again.cache.limit, len(again.cache)) == (40 * 10**6, 5000, 0)
    assert_same(want, again(queries))
    whole = StoreFinder(without_rows(toy), PathsConfig())
    assert_same(whole(queries), pickle.loads(pickle.dumps(whole))(queries))


def test_a_database_of_others_is_read_by_places(toy, tmp_path):
    """Without the writer's table: keys that are no places, no degrees, one-way relations, parallel edges and a loop."""
    path = tmp_path / "other"
    database = ladybug.Database(str(path), max_num_threads=1, buffer_pool_size=64 << 20)
    connection = ladybug.Connection(database, num_threads=1)
    for statement in (
        "CREATE NODE TABLE item(sku STRING, PRIMARY KEY(sku))",
        "CREATE NODE TABLE brand(code INT64, PRIMARY KEY(code))",
        "CREATE REL TABLE made_by(FROM item TO brand)",
        "CREATE REL TABLE alike(FROM item TO item, weight DOUBLE)",
        "UNWIND range(0, 5) AS x CREATE (:item {sku: 'i' + CAST(x AS STRING)})",
        "UNWIND range(0, 1) AS x CREATE (:brand {code: x + 10})",
        "MATCH (i:item), (b:brand {code: 10}) CREATE (i)-[:made_by]->(b)",
        "MATCH (i:item {sku: 'i1'}), (b:brand) CREATE (i)-[:made_by]->(b)",
        "MATCH (i:item {sku: 'i1'}), (j:item {sku: 'i2'}) CREATE (i)-[:alike {weight: 0.5}]->(j)",
        "MATCH (i:item {sku: 'i1'}), (j:item {sku: 'i2'}) CREATE (i)-[:alike {weight: 0.75}]->(j)",
        "MATCH (i:item {sku: 'i1'}) CREATE (i)-[:alike {weight: 0.5}]->(i)",
    ):
        connection.execute(statement)
    connection.close()
    database.close()
    store = LadybugStore(path, memory="32MB")
    assert store.schema.keys == {}
    queries = queries_of([[0, 1, 2, -1]], [[1, 2, 5, 1]])
    same = HeteroData()
    same["item"].num_nodes, same["brand"].num_nodes = 6, 2
    edges = torch.tensor([[0, 1, 2, 3, 4, 5, 1], [0, 0, 0, 0, 0, 0, 1]])
    weighed = torch.tensor([[1, 1, 1], [2, 2, 1]])
    for edge_type in store.edge_types:
        index = weighed if edge_type[0] == edge_type[2] else edges
        same[edge_type].edge_index = index.flip(0) if edge_type[1].startswith("rev_") else index
        if edge_type[0] == edge_type[2]:
            same[edge_type].weight = torch.tensor([0.5, 0.75, 0.5])
    want = PathFinder(same, PathsConfig())(queries)
    assert len(want) > 10
    assert_same(want, StoreFinder(store, PathsConfig())(queries))


def without_rows(data):
    """The graph behind PyG's interface, with its weights."""
    features, graph = MyFeatureStore(), MyGraphStore()
    for edge_type in data.edge_types:
        size = tuple(int(data[n].num_nodes) for n in edge_type[::2])
        index = tuple(data[edge_type].edge_index)
        graph.put_edge_index(index, edge_type=edge_type, layout="coo", size=size)
        if "weight" in data[edge_type]:
            weight = data[edge_type].weight
            features.put_tensor(weight, group_name=edge_type, attr_name="weight", index=None)
    return RemoteKG(features, graph)


def test_a_store_without_rows_is_read_whole_with_a_warning(toy, caplog):
    queries, remote = toy_queries(toy), without_rows(toy)
    finder = StoreFinder(remote, PathsConfig())
    with caplog.at_level(logging.WARNING):
        found = finder(queries)
        finder(queries)
    want = PathFinder(remote, PathsConfig())(queries)
    assert (want.weight < 1).any()
    assert_same(want, found)
    told = [r.getMessage() for r in caplog.records]
    assert sum("item-followed_by-item is read whole" in text for text in told) == 1
    assert len(told) == len(set(told))
    unweighed = StoreFinder(remote.graph, PathsConfig())(queries)
    assert_same(PathFinder(RemoteKG(None, remote.graph), PathsConfig())(queries), unweighed)


def test_a_database_is_also_a_graph_store_of_pyg(toy, database):
    store = LadybugStore(database)
    remote = RemoteKG(None, store)
    for edge_type in store.edge_types:
        found = {tuple(e) for e in remote[edge_type].edge_index.T.tolist()}
        assert found == {tuple(e) for e in toy[edge_type].edge_index.T.tolist()}, edge_type
    with pytest.raises(ConfigError, match="open for reading only"):
        store.put_edge_index((torch.zeros(1), torch.zeros(1)), ("item", "x", "item"), "coo")


def test_what_a_store_cannot_give_is_refused(toy):
    store = MemoryStore(toy)
    timed = MemoryStore(toy)
    timed.has_times = lambda edge_type: True
    for given_store, through in ((store, True), (timed, False)):
        with pytest.raises(ConfigError, match=r"set paths\.max_length to 2"):
            StoreFinder(given_store, PathsConfig(through_items=through))
    with pytest.raises(ConfigError, match="option 'cache'"):
        StoreFinder(store, PathsConfig(), "much")
    with pytest.raises(ConfigError, match="max_per_pair"):
        StoreFinder(store, PathsConfig(max_per_pair=0))
    plain = MyGraphStore()
    edges = (torch.zeros(1), torch.zeros(1))
    plain.put_edge_index(edges, edge_type=("a", "to", "b"), layout="coo", size=(1, 1))
    with pytest.raises(DataError, match="no node type 'item'"):
        StoreFinder(plain, PathsConfig())
    with pytest.raises(ValueError, match="history_items must lie in"):
        StoreFinder(store, PathsConfig())(queries_of([[10**6]], [[0]]))


def test_the_cache_lets_go_of_what_was_used_longest_ago():
    dtype = np.dtype([("x", np.int64)])
    cache = RowCache(2 * (ENTRY + 8))
    fetched = []

    def fetch(items):
        fetched.append(items.tolist())
        return np.ones(len(items), np.int64), items.astype(np.int64).view(dtype)

    def ask(*items):
        count, records = cache.get("x", np.array(items), dtype, fetch)
        assert count.tolist() == [1] * len(items)
        assert records["x"].tolist() == list(items)

    ask(1, 2)
    ask(1)
    ask(3)
    ask(1, 3)
    ask(2)
    assert fetched == [[1, 2], [3], [2]]
    assert len(cache) == 2
    assert cache.taken == cache.limit
    # More than fits in one batch is given nevertheless.
    ask(4, 5, 6, 7)
    assert cache.taken <= cache.limit
