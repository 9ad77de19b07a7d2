"""A ranker whose paths come from a database ranks as before; a database of another graph is refused."""

import pytest
import torch
from torch_geometric.data import HeteroData

from lkgrag import Ranker, export
from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.kg import load_kg, write_ladybug
from lkgrag.paths import StoreFinder
from lkgrag.serving.catalogue import Catalogue

pytestmark = pytest.mark.slow
pytest.importorskip("ladybug", reason="needs the extra store")


@pytest.fixture(scope="module")
def ranker(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


@pytest.fixture(scope="module")
def exported(run_without_lm, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "graph.lbug"
    pairs = {"run": str(run_without_lm), "format": "ladybug", "out": str(path)}
    export.body(pairs, set())
    with pytest.raises(ConfigError, match="is there already"):
        export.body(pairs, set())
    return path


def test_rankings_are_equal(ranker, exported):
    served = ranker.with_graph_store(exported, cache="1MB", memory="32MB")
    assert isinstance(served.context.finder, StoreFinder)
    users = ranker.users()[:20]
    want, found = (r.recommend_users(users, k=5) for r in (ranker, served))
    assert [x.to_dict() for x in want] == [x.to_dict() for x in found]
    assert served.context.finder.cache.misses


def test_another_graph_is_refused(ranker, run_without_lm, tmp_path):
    data = load_kg(run_without_lm / "ranker" / "kg")
    ids = Catalogue.load(run_without_lm / "ranker" / "catalogue.parquet").ids
    path = tmp_path / "graph.lbug"

    def refused(graph, items, message):
        write_ladybug(graph, path, items, overwrite=True)
        with pytest.raises(DataError, match=message) as caught:
            ranker.with_graph_store(path)
        assert str(path) in str(caught.value)
        assert "lkgrag.export format=ladybug" in str(caught.value)

    refused(data, ids[::-1], "its items are not those of this ranker")
    small = HeteroData()
    small["item"].num_nodes = 2
    small["item", "next", "item"].edge_index = torch.tensor([[0], [1]])
    refused(small, None, "2 items, but this ranker has")
    less = data.clone()
    gone = next(e for e in less.edge_types if e[0] == "item" and "user" not in e)
    del less[gone]
    refused(less, ids, f"lacks paths of {gone[1]}")
    stale = data.clone()
    stale[gone].edge_index = stale[gone].edge_index[:, 1:]
    for name in ("weight", "count", "time"):
        if name in stale[gone]:
            stale[gone][name] = stale[gone][name][1:]
    refused(stale, ids, "its edges are not those of this ranker")


def test_what_a_ranker_cannot_take(ranker, tmp_path):
    with pytest.raises(DataError, match="no such database"):
        ranker.with_graph_store(tmp_path / "none.lbug")
    with pytest.raises(ConfigError, match="option 'memory'"):
        ranker.with_graph_store(tmp_path / "none.lbug", memory="big")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "kuzu"}, "'kuzu' is none of model, ladybug"),
        ({"format": "ladybug", "dtype": "auto"}, "option 'dtype' belongs to format=model"),
        ({"memory": "1GB"}, "option 'memory' belongs to format=ladybug"),
        ({"format": "ladybug", "memory": "x"}, "option 'memory'"),
        ({"format": "ladybug"}, "not a saved run"),
    ],
)
def test_wrong_options_of_the_export(tmp_path, options, message):
    pairs = {"run": str(tmp_path), "out": str(tmp_path / "x"), **options}
    with pytest.raises(LkgragError, match=message):
        export.body(pairs, set())
