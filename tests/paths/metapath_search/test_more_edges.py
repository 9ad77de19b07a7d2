"""The search for paths of any meta-path, against every path of small graphs."""

import math

import numpy as np
import pytest
from helpers.path_graphs import graphs, queries
from helpers.path_oracle import Oracle, graph, long_paths
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import PathsConfig
from lkgrag.paths import PathFinder

NEXT, CO = ("item", "next", "item"), ("item", "co_rated", "item")
MADE, OF_MAKER = ("item", "made_by", "maker"), ("maker", "rev_made_by", "item")
OWNED, OF_OWNER = ("maker", "owned_by", "firm"), ("firm", "rev_owned_by", "maker")
SIZES = {"item": 6, "maker": 4, "firm": 2}


def nodes_of(found):
    """The nodes of each path, where there is one pair of slots."""
    assert {path[:3] for path in found} <= {(0, 0, 0)}
    return sorted(nodes for *_, nodes in found)


def test_a_path_over_items_visits_no_item_twice():
    data = graph({NEXT: [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (0, 2)]}, SIZES)
    assert nodes_of(long_paths(data, (NEXT, NEXT), [[0]], [[2]])) == [(0, 1, 2)]
    # 0-1-0-... and ...-3-... are left out, and so is 0-2-1-2.
    assert nodes_of(long_paths(data, (NEXT, NEXT, NEXT), [[0]], [[3]])) == [(0, 1, 2, 3)]
    assert nodes_of(long_paths(data, (NEXT,) * 4, [[0]], [[3]])) == []


def test_a_path_out_and_back_visits_no_value_twice():
    edges = {
        MADE: [(0, 0), (1, 0), (1, 1)],
        OF_MAKER: [(0, 0), (0, 1), (1, 1)],
        OWNED: [(0, 0), (1, 0)],
        OF_OWNER: [(0, 0), (0, 1)],
    }
    data = graph(edges, SIZES)
    # Item 0, maker 0, firm 0, maker 1, item 1; not back to maker 0.
    metapath = (MADE, OWNED, OF_OWNER, OF_MAKER)
    assert nodes_of(long_paths(data, metapath, [[0]], [[1]])) == [(0, 0, 0, 1, 1)]


def test_a_path_weighs_the_product_of_its_edges_and_values():
    edges = {NEXT: [(0, 1)], MADE: [(1, 2), (2, 2), (3, 2)], OF_MAKER: [(2, 3), (2, 2), (2, 1)]}
    data = graph(edges, SIZES, weight={NEXT: [0.5]})
    found = long_paths(data, (NEXT, MADE, OF_MAKER), [[0]], [[3]])
    # The maker is entered by three edges; the inner item counts by its edge alone.
    assert found == {(0, 0, 0, 0, (0, 1, 2, 3)): pytest.approx(0.5 / math.log2(4))}


def test_the_cap_keeps_the_path_with_the_rarer_values():
    # Over item 1 and over item 2; three edges lead to item 1 and one to item 2.
    data = graph({NEXT: [(0, 1), (0, 2), (4, 1), (5, 1), (1, 3), (2, 3)]}, SIZES)
    assert nodes_of(long_paths(data, (NEXT, NEXT), [[0]], [[3]])) == [(0, 1, 3), (0, 2, 3)]
    finder = PathFinder(data, PathsConfig(max_per_pair=1, through_items=True))
    assert finder(queries([[0]], [[3]])).nodes.tolist() == [[0, 2, 3]]


def test_the_cap_asks_for_the_least_rare_node_of_each_path():
    # Nodes 1 and 3 are entered by 1 and 3 edges, nodes 2 and 4 by 2 each.
    pairs = [(0, 1), (0, 2), (1, 3), (4, 3), (2, 3), (2, 4), (5, 4), (3, 5), (4, 5), (5, 2)]
    data = graph({NEXT: pairs}, SIZES)
    every = nodes_of(long_paths(data, (NEXT, NEXT, NEXT), [[0]], [[5]]))
    assert every == [(0, 1, 3, 5), (0, 2, 3, 5), (0, 2, 4, 5)]
    assert nodes_of(long_paths(data, (NEXT,) * 3, [[0]], [[5]], most=1)) == [(0, 2, 4, 5)]


def test_the_cap_keeps_the_smaller_ids_of_equally_rare_paths():
    data = graph({NEXT: [(0, 2), (0, 1), (2, 5), (1, 5)]}, SIZES)
    assert nodes_of(long_paths(data, (NEXT, NEXT), [[0]], [[5]], most=1)) == [(0, 1, 5)]


def test_the_cap_keeps_shorter_paths_of_any_rarity():
    makers = [(i, 0) for i in range(6)]
    edges = {MADE: makers, OF_MAKER: [(v, i) for i, v in makers], NEXT: [(0, 1), (1, 2)]}
    data = graph(edges, SIZES)
    config = PathsConfig(max_length=3, max_per_pair=1, through_items=True)
    finder = PathFinder(data, config)
    # Of two edges there are 0-1-2 over an item that one edge enters, and over a maker of six items.
    assert finder(queries([[0]], [[2]])).nodes.tolist() == [[0, 1, 2, -1]]
    assert finder(queries([[0]], [[1]])).nodes.tolist() == [[0, 1, -1, -1]]
    longer = PathFinder(data, PathsConfig(max_length=3, max_per_pair=99, through_items=True))
    assert (longer(queries([[0]], [[2]])).nodes[:, 3] >= 0).any()


def test_the_cap_drops_no_shorter_path_for_rarer_longer_ones():
    makers = [(i, 0) for i in range(6)]
    pairs = [(0, 1), (1, 2), (2, 5), (0, 3), (3, 4), (4, 5)]
    data = graph({MADE: makers, OF_MAKER: [(v, i) for i, v in makers], NEXT: pairs}, SIZES)
    finder = PathFinder(data, PathsConfig(max_length=3, max_per_pair=2, through_items=True))
    # Over a maker of six items, and the first of two ways over items that one edge enters each.
    found = finder(queries([[0]], [[5]])).nodes.tolist()
    assert sorted(found) == [[0, 0, 5, -1], [0, 1, 2, 5]]


def test_a_pair_that_is_full_gets_no_path():
    data = graph({NEXT: [(0, 1), (1, 2), (0, 3), (3, 2), (3, 4), (1, 4)]}, SIZES)
    full = np.array([[[True], [False]]])
    found = long_paths(data, (NEXT, NEXT), [[0]], [[2, 4]], full=full)
    assert {path[2] for path in found} == {1}
    assert len(found) == 2


def test_an_item_has_no_path_to_itself():
    data = graph({NEXT: [(0, 1), (1, 0), (1, 2), (2, 0)]}, SIZES)
    assert long_paths(data, (NEXT, NEXT), [[0]], [[0]]) == {}
    none = np.zeros((1, 1, 1), bool)
    # Not even where nobody says so beforehand.
    assert long_paths(data, (NEXT, NEXT), [[0]], [[0]], full=none) == {}
    assert long_paths(data, (NEXT, NEXT, NEXT), [[0]], [[0]], full=none) == {}


def test_padding_has_no_path_wherever_it_stands():
    last = SIZES["item"] - 1
    data = graph({NEXT: [(0, 1), (1, last), (last, 1), (1, 0)]}, SIZES)
    assert long_paths(data, (NEXT, NEXT), [[-1, -1]], [[0, -1]]) == {}
    found = long_paths(data, (NEXT, NEXT), [[-1, 0]], [[-1, last]])
    assert set(found) == {(0, 1, 1, 0, (0, 1, last))}


@pytest.mark.parametrize("late", [0, 1, 2])
def test_every_edge_of_a_path_must_precede_the_prediction(late):
    times = [1.0, 1.0, 1.0]
    times[late] = 2.0
    data = graph({NEXT: [(0, 1), (1, 2), (2, 3)]}, SIZES, temporal=True, time={NEXT: times})
    history, candidates, asked = [[0]] * 4, [[3]] * 4, [1.5, 2.0, 2.5, np.nan]
    found = long_paths(data, (NEXT, NEXT, NEXT), history, candidates, time=asked)
    assert [b for b, *_ in sorted(found)] == [2, 3]


def test_relations_between_the_same_types_are_kept_apart():
    data = graph({NEXT: [(0, 1)], CO: [(1, 2)]}, SIZES)
    assert long_paths(data, (NEXT, NEXT), [[0]], [[2]]) == {}
    assert long_paths(data, (CO, NEXT), [[0]], [[2]]) == {}
    assert nodes_of(long_paths(data, (NEXT, CO), [[0]], [[2]])) == [(0, 1, 2)]


def walks(data, length):
    """All meta-paths of some edges from item to item, over anything but users."""
    out = [()]
    for _ in range(length):
        out = [
            (*path, step)
            for path in out
            for step in data.edge_types
            if step[0] == (path[-1][2] if path else "item") and "user" not in (step[0], step[2])
        ]
    return [path for path in out if path[-1][2] == "item"]


def asked(seed, rows=3):
    """Random history, candidates and times, padding among them."""
    rng = np.random.default_rng(seed)
    history, candidates = rng.integers(-1, 6, (rows, 3)), rng.integers(-1, 6, (rows, 3))
    return history, candidates, rng.choice([0.5, 1.0, 2.0, 2.5, np.nan], rows)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(2, 3), st.integers(0, 10**6))
def test_random_graphs_have_the_paths_of_the_oracle(data, length, seed):
    metapaths = walks(data, length)
    if not metapaths:
        return
    metapath = metapaths[seed % len(metapaths)]
    history, candidates, time = asked(seed)
    expected = Oracle(data)({0: metapath}, history.tolist(), candidates.tolist(), time, 3)
    found = long_paths(data, metapath, history, candidates, time, most=3)
    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx([expected[path] for path in found])


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(0, 10**6))
def test_a_finder_of_one_to_three_edges_keeps_the_paths_of_the_oracle(
    data, length, most, through_items, seed
):
    history, candidates, time = asked(seed)
    config = PathsConfig(max_length=length, max_per_pair=most, through_items=through_items)
    finder = PathFinder(data, config)
    batch = finder(queries(history, candidates, time))
    found = {
        (b, h, c, m, tuple(n for n in nodes if n >= 0))
        for b, h, c, m, nodes in zip(
            batch.sample.tolist(),
            batch.history.tolist(),
            batch.candidate.tolist(),
            batch.metapath.tolist(),
            batch.nodes.tolist(),
            strict=True,
        )
    }
    expected = Oracle(data)(
        dict(enumerate(finder.metapaths)), history.tolist(), candidates.tolist(), time, most
    )
    assert found == expected.keys()
