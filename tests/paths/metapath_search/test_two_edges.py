"""The search for paths of one edge and over a shared value, against every path of small graphs."""

import math

import numpy as np
import pytest
from helpers.path_graphs import graphs
from helpers.path_oracle import Oracle, graph, short_paths
from hypothesis import given, settings
from hypothesis import strategies as st

NEXT, CO = ("item", "next", "item"), ("item", "co_rated", "item")
MADE, OF_MAKER = ("item", "made_by", "maker"), ("maker", "rev_made_by", "item")
SOLD, OF_SELLER = ("item", "sold_by", "maker"), ("maker", "rev_sold_by", "item")
SIZES = {"item": 6, "maker": 4}


def shared(relation, back, pairs):
    """Edges from items to values and the same ones back."""
    return {relation: pairs, back: [(v, i) for i, v in pairs]}


def paths(found):
    """Meta-path and nodes of each path, where there is one pair of slots."""
    assert {(b, h, c) for b, h, c, _, _ in found} <= {(0, 0, 0)}
    return [(m, nodes) for _, _, _, m, nodes in found]


def test_an_edge_goes_one_way_only():
    data = graph({NEXT: [(0, 1)]}, SIZES)
    assert paths(short_paths(data, {0: (NEXT,)}, [[0]], [[1]])) == [(0, (0, 1))]
    assert paths(short_paths(data, {0: (NEXT,)}, [[1]], [[0]])) == []


def test_an_edge_weighs_what_the_graph_says():
    data = graph({NEXT: [(0, 1), (0, 2)]}, SIZES, weight={NEXT: [0.25, 0.75]})
    found = short_paths(data, {0: (NEXT,)}, [[0]], [[1, 2]])
    assert found == {(0, 0, 0, 0, (0, 1)): 0.25, (0, 0, 1, 0, (0, 2)): 0.75}


def test_a_shared_value_weighs_less_the_more_items_have_it():
    pairs = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (3, 1)]
    data = graph(shared(MADE, OF_MAKER, pairs), SIZES)
    found = short_paths(data, {0: (MADE, OF_MAKER)}, [[0]], [[1]])
    weights = {nodes[1]: weight for (*_, nodes), weight in found.items()}
    assert weights == {0: pytest.approx(1 / math.log2(3)), 1: pytest.approx(1 / math.log2(5))}


def test_the_cap_keeps_an_edge_before_a_shared_value():
    data = graph({**shared(MADE, OF_MAKER, [(0, 2), (1, 2)]), NEXT: [(0, 1)]}, SIZES)
    metapaths = {0: (NEXT,), 1: (MADE, OF_MAKER)}
    assert len(short_paths(data, metapaths, [[0]], [[1]], most=2)) == 2
    assert paths(short_paths(data, metapaths, [[0]], [[1]], most=1)) == [(0, (0, 1))]


def test_the_cap_keeps_the_rarer_value_whatever_its_metapath():
    pairs = [(0, 0), (1, 0), (2, 0)]
    data = graph(shared(MADE, OF_MAKER, pairs) | shared(SOLD, OF_SELLER, [(0, 3), (1, 3)]), SIZES)
    metapaths = {0: (MADE, OF_MAKER), 1: (SOLD, OF_SELLER)}
    assert paths(short_paths(data, metapaths, [[0]], [[1]], most=1)) == [(1, (0, 3, 1))]


def test_the_cap_keeps_the_first_metapath_of_equally_rare_values():
    data = graph(
        shared(MADE, OF_MAKER, [(0, 3), (1, 3)]) | shared(SOLD, OF_SELLER, [(0, 0), (1, 0)]), SIZES
    )
    metapaths = {0: (MADE, OF_MAKER), 1: (SOLD, OF_SELLER)}
    assert paths(short_paths(data, metapaths, [[0]], [[1]], most=1)) == [(0, (0, 3, 1))]


def test_the_cap_keeps_the_smaller_id_of_equally_rare_values():
    data = graph(shared(MADE, OF_MAKER, [(0, 3), (1, 3), (0, 2), (1, 2)]), SIZES)
    metapaths = {0: (MADE, OF_MAKER)}
    assert paths(short_paths(data, metapaths, [[0]], [[1]], most=1)) == [(0, (0, 2, 1))]


def test_the_cap_is_for_each_pair_of_slots():
    data = graph(shared(MADE, OF_MAKER, [(i, v) for i in range(3) for v in range(2)]), SIZES)
    found = short_paths(data, {0: (MADE, OF_MAKER)}, [[0, 1]], [[2, 0]], most=1)
    assert [path[:3] for path in sorted(found)] == [(0, 0, 0), (0, 1, 0), (0, 1, 1)]


def test_an_item_has_no_path_to_itself():
    data = graph({**shared(MADE, OF_MAKER, [(0, 0), (1, 0)]), NEXT: [(0, 0), (0, 1)]}, SIZES)
    metapaths = {0: (NEXT,), 1: (MADE, OF_MAKER)}
    assert short_paths(data, metapaths, [[0]], [[0]]) == {}


def test_an_item_in_two_slots_has_its_paths_in_both():
    data = graph({**shared(MADE, OF_MAKER, [(0, 0), (1, 0)]), NEXT: [(0, 1)]}, SIZES)
    metapaths = {0: (NEXT,), 1: (MADE, OF_MAKER)}
    found = short_paths(data, metapaths, [[0, 0]], [[1, 1]])
    assert len(found) == 2 * 2 * 2
    for h in range(2):
        for c in range(2):
            assert {(0, h, c, 0, (0, 1)), (0, h, c, 1, (0, 0, 1))} <= found.keys()


def test_padding_has_no_path_wherever_it_stands():
    # The last item is what an index of -1 would mean.
    last = SIZES["item"] - 1
    data = graph(
        {**shared(MADE, OF_MAKER, [(0, 0), (last, 0)]), NEXT: [(0, last), (last, 0)]}, SIZES
    )
    metapaths = {0: (NEXT,), 1: (MADE, OF_MAKER)}
    assert short_paths(data, metapaths, [[-1, -1], [-1, 0]], [[0, -1], [-1, -1]]) == {}
    found = short_paths(data, metapaths, [[-1, 0]], [[-1, last]])
    assert {path[:3] for path in found} == {(0, 1, 1)}


def test_an_edge_counts_only_for_a_later_prediction():
    data = graph({NEXT: [(0, 1)]}, SIZES, temporal=True, time={NEXT: [2.0]})
    history, candidates = [[0]] * 4, [[1]] * 4
    found = short_paths(data, {0: (NEXT,)}, history, candidates, time=[1.0, 2.0, 2.5, np.nan])
    assert [b for b, *_ in found] == [2, 3]


def test_an_edge_of_unknown_time_always_counts():
    data = graph({NEXT: [(0, 1), (0, 2)]}, SIZES, temporal=True, time={NEXT: [np.nan, 2.0]})
    found = short_paths(data, {0: (NEXT,)}, [[0]], [[1, 2]], time=[0.0])
    assert [nodes for *_, nodes in found] == [(0, 1)]


def test_times_say_nothing_in_a_graph_that_is_not_temporal():
    data = graph({NEXT: [(0, 1)]}, SIZES, time={NEXT: [2.0]})
    assert len(short_paths(data, {0: (NEXT,)}, [[0]], [[1]], time=[1.0])) == 1


def test_relations_between_the_same_types_are_kept_apart():
    edges = shared(MADE, OF_MAKER, [(0, 1)]) | shared(SOLD, OF_SELLER, [(1, 1)])
    data = graph({**edges, NEXT: [(2, 3)], CO: [(3, 2)]}, SIZES)
    metapaths = {0: (NEXT,), 1: (CO,), 2: (MADE, OF_MAKER), 3: (SOLD, OF_SELLER)}
    # Items 0 and 1 have the same value, but by different relations.
    assert short_paths(data, metapaths, [[0]], [[1]]) == {}
    crossed = metapaths | {4: (MADE, OF_SELLER)}
    assert paths(short_paths(data, crossed, [[0]], [[1]])) == [(4, (0, 1, 1))]
    assert paths(short_paths(data, metapaths, [[2]], [[3]])) == [(0, (2, 3))]
    assert paths(short_paths(data, metapaths, [[3]], [[2]])) == [(1, (3, 2))]


def test_paths_come_by_pair_then_metapath_then_nodes():
    pairs = [(i, v) for i in range(4) for v in range(3)]
    data = graph({**shared(MADE, OF_MAKER, pairs), NEXT: [(0, 2), (1, 3), (1, 2)]}, SIZES)
    metapaths = {0: (NEXT,), 1: (MADE, OF_MAKER)}
    found = list(short_paths(data, metapaths, [[0, 1], [1, 0]], [[3, 2], [2, 3]]))
    assert found == sorted(found, key=lambda p: (p[0], p[2], p[1], p[3], p[4]))


def one_or_two_edges(data):
    """All meta-paths of one edge between items, and of two over a value, numbered."""
    into = [e for e in data.edge_types if e[0] == "item"]
    over = [
        (e, f)
        for e in into
        for f in data.edge_types
        if e[2] not in ("item", "user") and f[0] == e[2] and f[2] == "item"
    ]
    return dict(enumerate([*((e,) for e in into if e[2] == "item"), *over]))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(1, 4), st.integers(0, 10**6))
def test_random_graphs_have_the_paths_of_the_oracle(data, most, seed):
    rng = np.random.default_rng(seed)
    history, candidates = rng.integers(-1, 6, (4, 3)), rng.integers(-1, 6, (4, 4))
    time = rng.choice([0.5, 1.0, 2.0, 2.5, np.nan], 4)
    metapaths = one_or_two_edges(data)
    found = short_paths(data, metapaths, history, candidates, time, most)
    expected = Oracle(data)(metapaths, history.tolist(), candidates.tolist(), time, most)
    assert found.keys() == expected.keys()
    assert list(found.values()) == pytest.approx([expected[path] for path in found])
