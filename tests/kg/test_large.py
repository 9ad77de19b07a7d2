"""Behaviour relations by queries: the edges of the arrays, to the last one and its last bit."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.large import many, small_duck
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import DataConfig, EngineConfig, KGConfig
from lkgrag.data import Interactions
from lkgrag.data.large import make_store, split_store
from lkgrag.data.splits import make_split
from lkgrag.errors import ConfigError, DataError, RunError
from lkgrag.kg import TableKG, build_kg, make_graph
from lkgrag.kg.base import Training
from lkgrag.kg.large import counters, edge_files
from lkgrag.kg.large.edge_files import read_edges, write_followed, write_met
from lkgrag.kg.large.histories import Histories
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.followed_by import FollowedBy
from lkgrag.utils.steps import Alone

COUNTED = ("rated", "followed_by", "co_rated")


@st.composite
def trainings(draw):
    """Sequences with repetitions, unknown times, and users and items that nobody has chosen."""
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=14))
    num_items = draw(st.integers(1, 7))
    number = sum(lengths)
    item = draw(st.lists(st.integers(0, num_items - 1), min_size=number, max_size=number))
    times = draw(st.lists(st.none() | st.integers(0, 5), min_size=number, max_size=number))
    if draw(st.booleans()):
        # Nobody has an item twice.
        item = [n % num_items for n in range(number)]
        lengths = [min(length, num_items) for length in lengths]
        item, times = item[: sum(lengths)], times[: sum(lengths)]
    user = np.repeat(np.arange(len(lengths)), lengths)
    time = np.array(times, float)
    # As in data: those without a time come first, then by time.
    order = np.lexsort((np.nan_to_num(time, nan=-1), user))
    starts = np.cumsum(lengths) - lengths
    return Training(
        user=user,
        item=np.array(item, np.int64),
        position=np.arange(len(user)) - np.repeat(starts, lengths),
        time=time[order],
        rating=np.full(len(user), np.nan, np.float32),
        titles=(None,) * num_items,
        num_users=len(lengths),
    )


def assert_same_edges(got, want):
    for name in ("index", "weight", "count", "time"):
        ours, theirs = getattr(got, name), getattr(want, name)
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=25, deadline=None)
@given(
    trainings(),
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from([None, 400]),
)
def test_edges_equal_those_of_arrays(training, temporal, least, window, top, arrays):
    config = KGConfig(
        temporal=temporal, behaviour_min=least, follow_window=window, co_rated_top=top
    )
    with tempfile.TemporaryDirectory() as name, small_duck(name, arrays) as duck:
        histories, folder, hands = Histories.of(duck, training), Path(name), Alone(duck)
        files = write_followed(hands, histories, config, folder / "followed")
        assert_same_edges(read_edges(files, temporal), FollowedBy().edges(training, config))
        files = write_met(hands, histories, config, folder / "met", folder / "work")
        assert_same_edges(read_edges(files, temporal), CoRated().edges(training, config))


def load(seed=0):
    return Interactions.from_frames(many(seed, 600), config=DataConfig(min_user=1, min_item=1))


@pytest.mark.parametrize("temporal", [False, True])
def test_the_graph_does_not_depend_on_the_engine(temporal):
    x = load()
    ends, config = make_split(x, DataConfig()).train_end, KGConfig(temporal=temporal)
    want = build_kg(x, ends, config, engine=EngineConfig(name="memory"))
    got = build_kg(x, ends, config, engine=EngineConfig(name="duckdb", memory="512MB"))
    assert got.edge_types == want.edge_types
    for edge_type in want.edge_types:
        assert list(got[edge_type].keys()) == list(want[edge_type].keys())
        for name, values in want[edge_type].items():
            torch.testing.assert_close(got[edge_type][name], values, rtol=0, atol=0, equal_nan=True)


def test_auto_takes_queries_from_a_size_on(monkeypatch):
    training = Training.of(load(), np.diff(load().indptr))
    auto, source = EngineConfig(), FollowedBy()
    assert not counters.is_by_queries(source, training, auto)
    monkeypatch.setattr(counters, "FROM", len(training.user))
    assert counters.is_by_queries(source, training, auto)
    assert not counters.is_by_queries(source, training, None)
    assert not counters.is_by_queries(source, training, EngineConfig(name="memory"))
    monkeypatch.setattr(counters, "is_installed", lambda: False)
    assert not counters.is_by_queries(source, training, auto)


def counted(tmp_path, duck, kg, **options):
    """A store of some interactions, its graph, and the same in memory."""
    path = tmp_path / "events.parquet"
    if not path.exists():
        many(1, 600).to_parquet(path, index=False)
    data = DataConfig(root=str(path), **options)
    store = make_store(duck, data, tmp_path / "store")
    training = split_store(duck, store, data)
    graph = make_graph(duck, store, training, kg, store.folder / "graph")
    x = store.read()
    return graph, build_kg(x, make_split(x, data).train_end, kg)


@pytest.mark.parametrize(
    ("kg", "options"),
    [
        (KGConfig(co_rated_top=2), {}),
        (KGConfig(temporal=True, behaviour_min=1), {"duplicates": "keep", "split": "rolling"}),
        (KGConfig(users=False, exclude=["co_rated"]), {}),
    ],
)
def test_a_graph_in_files_equals_that_in_memory(tmp_path, kg, options):
    with small_duck(tmp_path, 4000) as duck:
        graph, want = counted(tmp_path, duck, kg, **options)
        edge_types = [e for e in want.edge_types if e[1].removeprefix("rev_") in COUNTED]
        assert graph.edge_types == edge_types
        for edge_type in edge_types:
            assert sorted(graph[edge_type]) == sorted(want[edge_type].keys())
            for name, values in want[edge_type].items():
                torch.testing.assert_close(
                    graph[edge_type][name], values, rtol=0, atol=0, equal_nan=True
                )
        assert graph.get("temporal") == kg.temporal
        for node in graph.node_types:
            assert graph[node].num_nodes == want[node].num_nodes


def test_counting_that_was_stopped_goes_on(tmp_path, monkeypatch):
    write, calls = edge_files.write_edges, []

    def stop(path, *args):
        calls.append(path)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return write(path, *args)

    monkeypatch.setattr(edge_files, "write_edges", stop)
    folder = tmp_path / "store" / "graph"
    with small_duck(tmp_path, 4000) as duck, pytest.raises(KeyboardInterrupt):
        counted(tmp_path, duck, KGConfig())
    with pytest.raises(RunError, match="no finished graph"):
        TableKG(folder)
    there = {p: p.stat().st_mtime_ns for p in calls[:3] if "work" not in p.parts}
    assert there
    monkeypatch.setattr(edge_files, "write_edges", write)
    with small_duck(tmp_path, 9000) as duck:
        graph, want = counted(tmp_path, duck, KGConfig())
        assert {p: p.stat().st_mtime_ns for p in there} == there
        for edge_type in graph.edge_types:
            assert torch.equal(graph[edge_type].edge_index, want[edge_type].edge_index)
        with pytest.raises(RunError, match="other options"):
            counted(tmp_path, duck, KGConfig(follow_window=1))


def test_a_part_that_is_missing_or_broken_is_named(tmp_path):
    with small_duck(tmp_path) as duck:
        graph, _ = counted(tmp_path, duck, KGConfig())
    path = graph.files("co_rated")[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"co_rated/part-00000\.parquet: broken"):
        graph["item", "co_rated", "item"]
    path.unlink()
    with pytest.raises(DataError, match=r"co_rated/part-00000\.parquet: missing"):
        graph["item", "co_rated", "item"]
    (graph.folder / "graph.json").write_text("[]")
    with pytest.raises(RunError, match="of another version"):
        TableKG(graph.folder)


def test_relations_that_are_not_counted_are_refused(tmp_path):
    with (
        small_duck(tmp_path) as duck,
        pytest.raises(ConfigError, match="'director' is not counted"),
    ):
        counted(tmp_path, duck, KGConfig(exclude=["director"]))
