"""The finder against a slow, obvious oracle on random graphs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from helpers.path_graphs import graphs, queries
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from lkgrag.config import PathsConfig
from lkgrag.errors import ConfigError
from lkgrag.evaluation import exist
from lkgrag.paths import PathFinder
from lkgrag.paths.metapath_search import finder as search
from lkgrag.paths.metapath_search.more_edges import LongPaths
from lkgrag.testing.graph import TOY_ITEMS, toy_kg


def oracle(data, config, metapaths, history, candidates, times):
    """Walk every meta-path from every history item, edge by edge, in dictionaries."""
    out_edges, degree = {}, {}
    for edge_type in data.edge_types:
        store = data[edge_type]
        seen = {}
        for k, (s, t) in enumerate(store.edge_index.T.tolist()):
            weight = float(store.weight[k]) if "weight" in store else 1.0
            when = float(store.time[k]) if "time" in store else math.nan
            if edge_type[0] == edge_type[2] and s == t:
                continue
            seen[s, t] = (weight, when)
        out_edges[edge_type] = {}
        for (s, t), attributes in seen.items():
            out_edges[edge_type].setdefault(s, []).append((t, *attributes))
            degree[edge_type, t] = degree.get((edge_type, t), 0) + 1
    result = {}
    for b, (row, cands) in enumerate(zip(history, candidates, strict=True)):
        for h, c in itertools.product(range(len(row)), range(len(cands))):
            start, end = row[h], cands[c]
            if start < 0 or end < 0 or start == end:
                continue
            instances = []
            for m, metapath in enumerate(metapaths):
                walks = [((start,), 1.0, 0)]
                for step, edge_type in enumerate(metapath):
                    grown = []
                    for nodes, weight, rare in walks:
                        for t, w, when in out_edges[edge_type].get(nodes[-1], []):
                            types = [metapath[0][0], *(e[2] for e in metapath[: step + 1])]
                            if (types[-1], t) in list(zip(types[:-1], nodes, strict=True)):
                                continue
                            if data.get("temporal", False) and when >= times[b]:
                                continue
                            factor, inner = w, rare
                            if step < len(metapath) - 1:
                                d = degree[edge_type, t]
                                inner = max(rare, d)
                                if edge_type[2] != "item":
                                    factor *= 1 / math.log2(1 + d)
                            grown.append(((*nodes, t), weight * factor, inner))
                    walks = grown
                for nodes, weight, rare in walks:
                    if nodes[-1] == end:
                        instances.append((len(metapath), rare, m, nodes, weight))
            instances.sort()
            for _, _, m, nodes, weight in instances[: config.max_per_pair]:
                result[b, h, c, m, nodes] = weight
    return result


def as_dict(batch):
    rows = zip(
        batch.sample.tolist(),
        batch.history.tolist(),
        batch.candidate.tolist(),
        batch.metapath.tolist(),
        batch.nodes.tolist(),
        batch.weight.tolist(),
        strict=True,
    )
    instances = [((b, h, c, m, tuple(n for n in ns if n >= 0)), w) for b, h, c, m, ns, w in rows]
    assert len({path for path, _ in instances}) == len(instances), "a path occurs twice"
    return dict(instances)


@settings(max_examples=150, deadline=None)
@given(
    graphs(),
    st.integers(1, 4),
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 10**6),
    st.booleans(),
)
def test_equals_the_oracle(data, length, most, through_items, seed, tiny_budget):
    rng = np.random.default_rng(seed)
    history = rng.integers(-1, 6, (5, 3))
    candidates = rng.integers(-1, 6, (5, 4))
    times = rng.choice([0.5, 1.0, 2.0, 2.5, np.nan], 5)
    config = PathsConfig(max_length=length, max_per_pair=most, through_items=through_items)
    with pytest.MonkeyPatch.context() as patch:
        if tiny_budget:
            patch.setattr(search, "BLOCK", 2)
            patch.setattr(search, "PARTIAL", 20)
        finder = PathFinder(data, config)
        batch = finder(queries(history, candidates, times))
    expected = oracle(data, config, finder.metapaths, history.tolist(), candidates.tolist(), times)
    instances = as_dict(batch)
    assert instances.keys() == expected.keys()
    for path, weight in instances.items():
        assert weight == pytest.approx(expected[path], rel=1e-5)
    assert len(batch) == len(expected)
    order = [
        (b, c, h, m, tuple(n))
        for b, c, h, m, n in zip(
            batch.sample.tolist(),
            batch.candidate.tolist(),
            batch.history.tolist(),
            batch.metapath.tolist(),
            batch.nodes.tolist(),
            strict=True,
        )
    ]
    assert order == sorted(order)
    if len(batch):
        assert float(batch.weight.min()) > 0
        assert float(batch.weight.max()) <= 1


def test_toy_paths_by_hand():
    data = toy_kg()
    finder = PathFinder(data, PathsConfig())
    alien, blade_runner, fargo = 0, 2, 9
    assert TOY_ITEMS[alien][0].startswith("Alien ")
    batch = finder(queries([[alien, fargo]], [[blade_runner, alien]]))
    names = {
        (int(h), int(c), "/".join(e[1] for e in finder.metapaths[m]))
        for h, c, m in zip(batch.history, batch.candidate, batch.metapath, strict=True)
    }
    same = {n for n in names if n[0] == 0}
    assert (0, 0, "directed_by/rev_directed_by") in names
    assert (0, 0, "has_genre/rev_has_genre") in names
    assert {c for _, c, _ in same} == {0}, "an item has no path to itself"


def test_empty_batches_and_padding():
    finder = PathFinder(toy_kg(), PathsConfig())
    nothing = finder(queries(np.full((2, 3), -1), np.full((2, 4), -1)))
    assert len(nothing) == 0
    assert nothing.nodes.shape == (0, 3)
    assert nothing.num_prompts == 2
    none = finder(queries(np.zeros((0, 3)), np.zeros((0, 4))))
    assert none.num_prompts == 0


def test_no_edges_at_all():
    data = HeteroData()
    data["item"].num_nodes = 3
    data["item", "next", "item"].edge_index = torch.zeros((2, 0), dtype=torch.int64)
    batch = PathFinder(data, PathsConfig())(queries([[0, 1]], [[2]]))
    assert len(batch) == 0


def test_longer_paths_are_looked_for_only_where_there_is_room(monkeypatch):
    """Items 0 to 6 all follow one another; only item 6 leads to item 7."""
    data = HeteroData()
    data["item"].num_nodes = 8
    pairs = [(a, b) for a in range(7) for b in range(7) if a != b] + [(6, 7)]
    data["item", "next", "item"].edge_index = torch.tensor(pairs).T
    grown = []
    grow = LongPaths._grow

    def counted(self, items, lists, places):
        grown.append((len(self.types), items.copy()))
        return grow(self, items, lists, places)

    monkeypatch.setattr(LongPaths, "_grow", counted)
    finder = PathFinder(data, PathsConfig(max_length=3, max_per_pair=1, through_items=True))
    # All these pairs have a path of one edge, except the pair of item 1 with itself.
    batch = finder(queries([[0, 1]], [[1, 2]]))
    assert len(batch) == 3
    assert not grown
    # The paths from 0 and 1 to item 7 have two edges, those to item 2 have one.
    batch = finder(queries([[0, 1]], [[2, 7]]))
    assert sorted((n >= 0).sum().item() for n in batch.nodes) == [2, 2, 3, 3]
    assert [length for length, _ in grown] == [3, 3]
    assert grown[1][1].tolist() == [[-1, 7]]


def test_repeated_edges_and_loops_count_once():
    data = HeteroData()
    data["item"].num_nodes = 2
    data["item", "next", "item"].edge_index = torch.tensor([[0, 0, 0], [0, 1, 1]])
    data["item", "next", "item"].weight = torch.tensor([1.0, 0.25, 0.5])
    batch = PathFinder(data, PathsConfig())(queries([[0]], [[1]]))
    assert batch.nodes.tolist() == [[0, 1]]
    assert batch.weight.tolist() == [0.5]


def test_same_item_twice_in_the_history_has_paths_from_both_slots():
    batch = PathFinder(toy_kg(), PathsConfig())(queries([[0, 0]], [[2]]))
    left = batch.select(batch.history == 0)
    right = batch.select(batch.history == 1)
    assert len(left) == len(right) > 0
    assert torch.equal(left.nodes, right.nodes)


def test_wrong_use_is_refused():
    data = toy_kg()
    with pytest.raises(ConfigError, match=r"paths\.max_per_pair"):
        PathFinder(data, PathsConfig(max_per_pair=0))
    with pytest.raises(ValueError, match="candidate_items"):
        PathFinder(data, PathsConfig())(queries([[0]], [[10]]))


def test_every_path_exists_in_the_graph_and_a_wrong_one_does_not():
    data = toy_kg()
    batch = PathFinder(data, PathsConfig())(queries([[0, 3, 5]], [[1, 2, 4, 8]]))
    assert exist(data, batch).all()
    middle = torch.tensor([len(batch.metapaths[m]) == 2 for m in batch.metapath])
    batch.nodes[middle, 1] = (batch.nodes[middle, 1] + 1) % 5
    assert not exist(data, batch)[middle].all()
    assert exist(data, batch)[~middle].all()
