"""Mapped tables of a graph in files: those of the graph in memory, byte for byte."""

import numpy as np
import pytest
from helpers.large import many, small_duck
from helpers.path_graphs import queries as queries_of
from helpers.stores import assert_same

from lkgrag.config import DataConfig, KGConfig, PathsConfig
from lkgrag.data.large import make_store, split_store
from lkgrag.data.splits import make_split
from lkgrag.kg import LadybugStore, build_kg, make_graph, write_ladybug
from lkgrag.paths import PathFinder, StoreFinder
from lkgrag.paths.large import map_paths


@pytest.mark.parametrize("temporal", [False, True])
def test_tables_equal_those_of_memory(tmp_path, temporal):
    path = tmp_path / "events.parquet"
    many(3, 600).to_parquet(path, index=False)
    data, kg = DataConfig(root=str(path)), KGConfig(temporal=temporal)
    with small_duck(tmp_path, 4000) as duck:
        store = make_store(duck, data, tmp_path / "store")
        training = split_store(duck, store, data)
        graph = make_graph(duck, store, training, kg, tmp_path / "graph")
    folder = map_paths(duck, graph, tmp_path / "paths")
    x = store.read()
    want = build_kg(x, make_split(x, data).train_end, kg)
    for edge_type in set(want.edge_types) - set(graph.edge_types):
        del want[edge_type]
    PathFinder(want, PathsConfig(), tmp_path / "want")
    for file in sorted((tmp_path / "want").iterdir()):
        assert file.read_bytes() == (folder / file.name).read_bytes(), file.name
    stamps = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert map_paths(duck, graph, folder) == folder
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == stamps
    assert PathFinder.open(folder).metapaths == PathFinder(want, PathsConfig()).metapaths
    assert not [p for p in graph.folder.iterdir() if p.name.startswith("tmp")]
    queries = random_queries(x.num_items)
    write_ladybug(graph, tmp_path / "graph.lbug")
    opened = StoreFinder(LadybugStore(tmp_path / "graph.lbug"), PathsConfig())
    assert_same(PathFinder.open(folder)(queries), opened(queries))


def random_queries(num_items):
    rng = np.random.default_rng(0)
    history, candidates = rng.integers(-1, num_items, (2, 40, 6))
    return queries_of(history, candidates, rng.choice([np.nan, 0.0, 1e9], 40))
