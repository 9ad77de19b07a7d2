"""The any-length search against networkx on random graphs."""

import itertools

import networkx as nx
import numpy as np
import pytest
from helpers.path_graphs import graphs, queries
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import KGConfig, PathsConfig
from lkgrag.errors import ConfigError
from lkgrag.evaluation import exist
from lkgrag.paths import ShortestPaths, path_finder
from lkgrag.paths.shortest import finder as shortest
from lkgrag.paths.shortest import kernel
from lkgrag.paths.shortest.arrays import new_scratch
from lkgrag.testing import planted
from lkgrag.testing.graph import TOY_ITEMS, toy_kg


def multigraph(data):
    """Every edge that the search may take; keys are places in ``data.edge_types``."""
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(
        (t, n) for t in data.node_types if t != "user" for n in range(data[t].num_nodes)
    )
    for key, (source, relation, target) in enumerate(data.edge_types):
        between_items = source == target == "item"
        if "user" in (source, target) or (between_items and relation.startswith("rev_")):
            continue
        for s, t in data[source, relation, target].edge_index.T.tolist():
            if (source, s) != (target, t):
                graph.add_edge((source, s), (target, t), key)
    return graph


def oracle(data, graph, start, end):
    """The first of all shortest paths by its middle node, then from there towards either end."""
    try:
        paths = nx.all_shortest_paths(graph, ("item", start), ("item", end))
        paths = [list(path) for path in paths]
    except nx.NetworkXNoPath:
        return None
    types = list(data.edge_types)
    node_types = list(data.node_types)
    half = (len(paths[0]) - 1) // 2

    def key(path):
        kinds = [min(graph[a][b]) for a, b in itertools.pairwise(path)]
        back = [(kinds[k - 1], path[k - 1][1]) for k in range(half, 0, -1)]
        ahead = [(kinds[k], path[k + 1][1]) for k in range(half, len(kinds))]
        return (node_types.index(path[half][0]), path[half][1]), back, ahead

    best = min(paths, key=key)
    kinds = [types[min(graph[a][b])] for a, b in itertools.pairwise(best)]
    return kinds, [n for _, n in best]


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(0, 10**6))
def test_equals_networkx(data, seed):
    data.temporal = False
    rng = np.random.default_rng(seed)
    history, candidates = rng.integers(-1, 6, (3, 4)), rng.integers(-1, 6, (3, 5))
    batch = ShortestPaths(data, PathsConfig())(queries(history, candidates))
    actual = {
        (int(b), int(c), int(h)): (list(batch.metapaths[m]), [n for n in nodes.tolist() if n >= 0])
        for b, c, h, m, nodes in zip(
            batch.sample, batch.candidate, batch.history, batch.metapath, batch.nodes, strict=True
        )
    }
    assert len(actual) == len(batch)
    assert list(actual) == sorted(actual)
    graph, expected = multigraph(data), {}
    for b in range(3):
        for c, end in enumerate(candidates[b]):
            for h, start in enumerate(history[b]):
                if min(start, end) >= 0 and start != end:
                    path = oracle(data, graph, int(start), int(end))
                    if path is not None:
                        expected[b, c, h] = path
    assert actual == expected
    assert bool(exist(data, batch).all())
    if len(batch):
        assert 0 < float(batch.weight.min()) <= float(batch.weight.max()) <= 1


def test_more_candidates_than_bits():
    data = toy_kg(KGConfig(behaviour=False))
    candidates = np.tile(np.arange(10), 8)[None]
    batch = ShortestPaths(data, PathsConfig())(queries([[0, 2]], candidates))
    rows = {(int(c), int(h)): nodes.tolist() for c, h, nodes in
            zip(batch.candidate, batch.history, batch.nodes, strict=True)}  # fmt: skip
    for (c, h), nodes in rows.items():
        assert rows[c % 10, h] == nodes
    assert len(rows) % 8 == 0


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(0, 10**6), st.integers(1, 5))
def test_bounds_and_small_rooms_change_nothing_else(data, seed, longest):
    data.temporal = False
    rng = np.random.default_rng(seed)
    history, candidates = rng.integers(-1, 6, (4, 4)), rng.integers(-1, 6, (4, 5))
    whole = ShortestPaths(data).find(history, candidates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortest, "ROOM", 1)
        patch.setattr(shortest, "new_scratch", lambda nodes, steps=1: new_scratch(nodes, steps))
        again = ShortestPaths(data).find(history, candidates)
        short = ShortestPaths(data, longest=longest).find(history, candidates)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
    keep = whole.length <= longest
    np.testing.assert_array_equal(short.ends, whole.ends[keep])
    np.testing.assert_array_equal(short.chain, whole.chain[np.repeat(keep, whole.length)])


def test_without_numba_the_same(monkeypatch):
    data = toy_kg(KGConfig(behaviour=False))
    prompts = queries([[0, 3, 5], [1, 2, -1]], [[7, 8, 9], [4, 6, 0]])
    compiled = ShortestPaths(data).find(prompts.history_items, prompts.candidate_items)
    monkeypatch.setattr(shortest, "search", kernel.search.py_func)
    monkeypatch.setattr(kernel, "_grow", kernel._grow.py_func)
    plain = ShortestPaths(data).find(prompts.history_items, prompts.candidate_items)
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_long_way_by_hand():
    data = toy_kg(KGConfig(behaviour=False, relations=["directed_by", "starring"], users=False))
    names = [title for title, *_ in TOY_ITEMS]
    start, end = names.index("Alien (1979)"), names.index("Star Wars (1977)")
    batch = ShortestPaths(data, PathsConfig())(queries([[start]], [[end]]))
    (metapath,) = batch.metapaths
    assert [e[1] for e in metapath] == [
        "directed_by",
        "rev_directed_by",
        "starring",
        "rev_starring",
    ]
    scott = data["director"].name.index("Ridley Scott")
    ford = data["actor"].name.index("Harrison Ford")
    blade_runner = names.index("Blade Runner (1982)")
    assert batch.nodes.tolist() == [[start, scott, blade_runner, ford, end]]


def test_relations_between_items_have_a_direction():
    data = toy_kg(KGConfig(behaviour=False, relations=["sequel"], users=False))
    there = ShortestPaths(data, PathsConfig())(queries([[0]], [[1]]))
    back = ShortestPaths(data, PathsConfig())(queries([[1]], [[0]]))
    assert [e[1] for e in there.metapaths[0]] == ["sequel"]
    assert len(back) == 0


def test_times_are_refused():
    x = planted(num_users=30)
    from lkgrag.config import DataConfig
    from lkgrag.data import make_split
    from lkgrag.kg import build_kg

    data = build_kg(x, make_split(x, DataConfig()).train_end, KGConfig(temporal=True))
    with pytest.raises(ConfigError, match=r"kg\.temporal"):
        path_finder(data, PathsConfig(search="shortest"))


def test_unknown_items_are_refused():
    finder = ShortestPaths(toy_kg(), PathsConfig())
    with pytest.raises(ValueError, match="candidate_items"):
        finder(queries([[0]], [[99]]))
    assert len(finder(queries([[0]], [[1]]))) == 1
