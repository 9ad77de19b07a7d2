"""The any-length search against networkx on random graphs."""

import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from helpers.path_graphs import graphs, queries
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from lkgrag.config import KGConfig, PathsConfig
from lkgrag.errors import ConfigError
from lkgrag.evaluation import exist
from lkgrag.paths import ShortestPaths, path_finder
from lkgrag.paths.shortest import bits, far, four, kernel, near
from lkgrag.paths.shortest import finder as shortest
from lkgrag.paths.shortest.arrays import FILTER, new_scratch
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


def witnesses(finder, history, candidates):
    """``{(prompt, candidate slot, history slot): (edge types, nodes)}``."""
    found = finder.find(history, candidates)
    out, begin = {}, 0
    for ends, length in zip(found.ends.tolist(), found.length.tolist(), strict=True):
        edges = found.chain[begin : begin + length]
        begin += length
        kinds = [finder.edge_types[k] for k in finder.kind[edges]]
        nodes = [
            int(n) - finder.offset(k[2]) for k, n in zip(kinds, finder.target[edges], strict=True)
        ]
        prompt, _, slot = ends
        out[tuple(ends)] = kinds, [int(history[prompt, slot]), *nodes]
    return out


def expected_witnesses(data, history, candidates, longest=0):
    graph, out = multigraph(data), {}
    for b, (starts, ends) in enumerate(zip(history, candidates, strict=True)):
        for (c, end), (h, start) in itertools.product(enumerate(ends), enumerate(starts)):
            path = oracle(data, graph, int(start), int(end)) if start != end else None
            if path is not None and (not longest or len(path[0]) <= longest):
                out[b, c, h] = path
    return out


def random_graph(rng, items, values, edges):
    """Items that are joined directly, over values of two types, and over values of values.

    Args:
        rng: of all draws.
        items: the indices that edges use.
        values: number of values of a type.
        edges: number of edges of a type.
    """
    data = HeteroData()
    data.temporal = False
    data["item"].num_nodes = int(items.max()) + 1
    data["a"].num_nodes = data["b"].num_nodes = values
    for source, name, target in (
        ("item", "next", "item"),
        ("item", "other", "item"),
        ("item", "has_a", "a"),
        ("item", "has_b", "b"),
        ("a", "part_of", "b"),
    ):
        ends = [rng.choice(items, edges) if t == "item" else rng.integers(0, values, edges)
                for t in (source, target)]  # fmt: skip
        if target == "item":
            index = np.stack(ends)
            data[source, name, target].edge_index = torch.from_numpy(index)
            data[source, name, target].weight = torch.ones(edges)
        else:
            index = np.stack(ends)
            data[source, name, target].edge_index = torch.from_numpy(index)
            data[target, f"rev_{name}", source].edge_index = torch.from_numpy(index[::-1].copy())
    return data


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 60), st.integers(1, 60), st.integers(0, 6))
def test_sparse_graphs_equal_networkx(seed, edges, values, longest):
    rng = np.random.default_rng(seed)
    data = random_graph(rng, np.arange(40), values, edges)
    history, candidates = rng.integers(0, 40, (2, 7)), rng.integers(0, 40, (2, 9))
    finder = ShortestPaths(data, longest=longest)
    expected = expected_witnesses(data, history, candidates, longest)
    assert witnesses(finder, history, candidates) == expected
    # The scratch arrays are clean afterwards.
    assert witnesses(finder, history, candidates) == expected
    assert not any(array.any() for name, array in finder._work._asdict().items() if name != "nodes")


def test_all_lengths_are_asked_for():
    lengths = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        data = random_graph(rng, np.arange(40), 30, 20)
        found = ShortestPaths(data).find(rng.integers(0, 40, (2, 7)), rng.integers(0, 40, (2, 9)))
        lengths |= set(found.length.tolist())
    assert lengths >= {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("seed", range(5))
def test_many_nodes_with_the_same_lowest_digits(seed):
    rng = np.random.default_rng(seed)
    # Nodes that are a multiple of the filter's bits apart have the same bit there.
    items = (np.arange(12)[:, None] + 64 * FILTER * np.arange(4)).reshape(-1)
    data = random_graph(rng, items, 20, 40)
    history, candidates = rng.choice(items, (3, 6)), rng.choice(items, (3, 8))
    finder = ShortestPaths(data)
    assert witnesses(finder, history, candidates) == expected_witnesses(data, history, candidates)


def test_leaves_are_left_out():
    data = toy_kg(KGConfig(behaviour=False))
    finder = ShortestPaths(data)
    kept, read = len(finder._work.twice), len(finder._tables[0].node)
    data["item", "has_leaf", "leaf"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 2]])
    data["leaf", "rev_has_leaf", "item"].edge_index = torch.tensor([[0, 1, 2], [0, 1, 2]])
    data["leaf"].num_nodes = 3
    more = ShortestPaths(data)
    assert (len(more._work.twice), len(more._tables[0].node)) == (kept, read)
    items = np.arange(10)[None]
    for one, other in zip(finder.find(items, items)[:2], more.find(items, items)[:2], strict=True):
        np.testing.assert_array_equal(one, other)


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
    data = toy_kg(KGConfig(behaviour=False, relations=["directed_by", "starring"], users=False))
    history, candidates = np.array([[0, 3, 5], [1, 2, -1]]), np.array([[7, 8, 9], [4, 6, 0]])
    finder = ShortestPaths(data)
    compiled = finder.find(history, candidates)
    assert compiled.length.max() > 4
    for module in (shortest, kernel, near, four, far, bits):
        for name, function in list(vars(module).items()):
            # An instruction of the processor has no plain form.
            if hasattr(function, "py_func") and name != "prefetch":
                monkeypatch.setattr(module, name, function.py_func)
    plain = finder.find(history, candidates)
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
