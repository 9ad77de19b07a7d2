"""The graphs of training examples: a batch has one."""

import numpy as np
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, PathsConfig
from lkgrag.data import Queries, make_split
from lkgrag.kg import build_kg
from lkgrag.paths import ExamplePaths, graph_paths
from lkgrag.testing import planted

USERS = 6


@pytest.fixture(scope="module")
def world():
    """Two graphs: each is without the interactions of every second user."""
    x = planted(USERS, 24)
    split = make_split(x, DataConfig())
    fold = np.arange(USERS) % 2
    graphs = [
        graph_paths(
            build_kg(x, np.where(fold == number, 0, split.train_end), KGConfig(behaviour_min=1)),
            PathsConfig(history=4),
        )
        for number in (0, 1)
    ]
    events = split.val
    items = np.tile(np.arange(x.num_items)[:8], (len(events), 1))
    scores = np.zeros(items.shape, np.float32)
    return ExamplePaths(graphs, fold), Queries.from_events(x, events, items, scores, 4)


def test_each_query_has_the_graph_of_its_user(world):
    graphs, queries = world
    np.testing.assert_array_equal(graphs.folds_of(queries), queries.user % 2)
    parts = list(graphs.parts(queries))
    assert [graph for graph, _ in parts] == graphs.graphs
    for number, (graph, index) in enumerate(parts):
        assert (queries.user[index] % 2 == number).all()
        assert graphs.graph_of(queries[index]) is graph
    np.testing.assert_array_equal(
        np.sort(np.concatenate([i for _, i in parts])), np.arange(len(queries))
    )


def test_paths_are_found_in_that_graph(world):
    graphs, queries = world
    found = list(graphs.chunks(queries))
    wanted = [graph(queries[index]) for graph, index in graphs.parts(queries)]
    for one, two in zip(found, wanted, strict=True):
        assert torch.equal(one.nodes, two.nodes)
        assert torch.equal(one.user, two.user)
    # The graphs differ, so the choice matters.
    first = np.flatnonzero(queries.user % 2 == 0)
    assert len(graphs.graphs[0](queries[first])) != len(graphs.graphs[1](queries[first]))


def test_a_batch_of_several_folds_has_no_graph(world):
    graphs, queries = world
    with pytest.raises(ValueError, match="one fold"):
        graphs.graph_of(queries)
    unknown = Queries(**{**vars(queries), "user": np.full(len(queries), -1)})
    with pytest.raises(ValueError, match="unknown user"):
        graphs.folds_of(unknown)
    with pytest.raises(ValueError, match="fold of each user"):
        ExamplePaths(graphs.graphs)
    with pytest.raises(ValueError, match="one graph"):
        ExamplePaths([])


def test_one_graph_serves_all(world):
    graphs, queries = world
    one = ExamplePaths(graphs.graphs[:1])
    unknown = Queries(**{**vars(queries), "user": np.full(len(queries), -1)})
    assert one.graph_of(queries) is one.graph_of(unknown) is graphs.graphs[0]
    ((graph, index),) = one.parts(unknown)
    assert graph is graphs.graphs[0]
    np.testing.assert_array_equal(index, np.arange(len(queries)))
    assert one.to("cpu").graphs[0] is graphs.graphs[0]


def test_without_queries_there_is_an_empty_part_with_the_meta_paths(world):
    graphs, queries = world
    (only,) = graphs.chunks(queries[:0])
    assert len(only) == 0
    assert only.metapaths == graphs.graphs[0].metapaths
    assert list(graphs.parts(queries[:0])) == []
    assert graphs.graph_of(queries[:0]) is graphs.graphs[0]
