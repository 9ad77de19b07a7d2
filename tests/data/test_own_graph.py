"""A graph of one's own beside the interactions: what of it joins the knowledge graph, and what is refused."""

import logging

import numpy as np
import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.transforms import ToUndirected

from lkgrag import Ranker
from lkgrag.config import DataConfig, KGConfig, PathsConfig
from lkgrag.config.loading import load_config
from lkgrag.data import Interactions
from lkgrag.data.memory import content_digest
from lkgrag.errors import DataError
from lkgrag.kg import build_kg, load_kg, phrase, save_kg
from lkgrag.paths import metapaths
from lkgrag.run.pipeline import train

MOVIES = ["m3", "m1", "m2", "m9"]


def interactions(items=3, users=4):
    rows = [(f"u{u}", f"m{1 + (u + n) % items}", n) for u in range(users) for n in range(items)]
    columns = dict(zip(("user", "item", "time"), zip(*rows, strict=True), strict=True))
    return Interactions.from_frames(
        {k: list(v) for k, v in columns.items()},
        {
            "item": [f"m{n + 1}" for n in range(items)],
            "title": [f"Film {n + 1}" for n in range(items)],
        },
        config=DataConfig(min_user=1, min_item=1),
    )


def edges(*pairs):
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T.contiguous()


def graph():
    """Films, of which one is not among the interactions, their people, and where those come from."""
    data = HeteroData()
    data["movie"].x = torch.zeros(4, 2)
    data["person"].num_nodes = 2
    data["person"].name = ["Ann Lee", "Bo Ray"]
    data["country"].num_nodes = 1
    data["movie", "directed_by", "person"].edge_index = edges((0, 0), (1, 0), (2, 1), (3, 1))
    data["person", "from", "country"].edge_index = edges((0, 0), (1, 0))
    data["movie", "sequel_of", "movie"].edge_index = edges((2, 1), (1, 1), (3, 0))
    return data


def built(x, **options):
    return build_kg(x, np.diff(x.indptr), KGConfig(**options))


def pairs(data, edge_type):
    return sorted(map(tuple, data[edge_type].edge_index.T.tolist()))


def test_nodes_edges_and_inverses():
    x = interactions().with_graph(graph(), "movie", MOVIES)
    data = built(x)
    assert pairs(data, ("item", "directed_by", "person")) == [(0, 0), (1, 1), (2, 0)]
    assert pairs(data, ("person", "rev_directed_by", "item")) == [(0, 0), (0, 2), (1, 1)]
    assert pairs(data, ("person", "from", "country")) == [(0, 0), (1, 0)]
    assert pairs(data, ("country", "rev_from", "person")) == [(0, 0), (0, 1)]
    # From m2 to m1; the edge of m1 to itself and those of m9 are left out.
    assert pairs(data, ("item", "sequel_of", "item")) == [(1, 0)]
    assert data["item", "sequel_of", "item"].weight.tolist() == [1]
    assert data["person"].name.tolist() == ["Ann Lee", "Bo Ray"]
    assert not data["country"].named
    assert data.left_out == {"directed_by": 1, "sequel_of": 2}
    long = metapaths(data.edge_types, PathsConfig(max_length=4))
    assert any(
        [e[1] for e in p] == ["directed_by", "from", "rev_from", "rev_directed_by"] for p in long
    )
    assert phrase(("item", "directed_by", "person")) == "directed by"


def test_a_saved_graph_is_the_same(tmp_path):
    data = built(interactions().with_graph(graph(), "movie", MOVIES))
    save_kg(data, tmp_path)
    again = load_kg(tmp_path)
    assert again.edge_types == data.edge_types
    assert all(torch.equal(again[t].edge_index, data[t].edge_index) for t in data.edge_types)


def test_options_choose_its_relations():
    x = interactions().with_graph(graph(), "movie", MOVIES)
    assert "country" not in built(x, exclude=["from"]).node_types
    only = built(x, relations=["sequel_of"])
    assert {e[1] for e in only.edge_types} == {"sequel_of", "rev_sequel_of"}
    assert "person" not in only.node_types


def test_inverses_that_are_there_are_taken_once():
    expected = built(interactions().with_graph(graph(), "movie", MOVIES))
    both = interactions().with_graph(ToUndirected(merge=False)(graph()), "movie", MOVIES)
    data = built(both)
    assert data.edge_types == expected.edge_types
    other = graph()
    other["person", "directed", "movie"].edge_index = other[
        "movie", "directed_by", "person"
    ].edge_index.flip(0)
    data = built(interactions().with_graph(other, "movie", MOVIES))
    assert data.edge_types == expected.edge_types
    assert data.merged == ["directed is the inverse of directed_by"]


def test_edges_towards_items_are_turned():
    data = HeteroData()
    data["movie"].id = torch.tensor([1, 2])
    data["studio"].num_nodes = 1
    data["studio", "made", "movie"].edge_index = edges((0, 0), (0, 1))
    x = Interactions.from_frames(
        {"user": [1, 1], "item": [2, 1]}, config=DataConfig(min_user=1, min_item=1)
    )
    found = built(x.with_graph(data, "movie"))
    assert pairs(found, ("item", "made_by", "studio")) == [(0, 0), (1, 0)]


def test_users_are_mapped_and_what_they_chose_is_left_out():
    data = graph()
    data["viewer"].id = ["u1", "u0"]
    data["city"].num_nodes = 2
    data["viewer", "lives_in", "city"].edge_index = edges((0, 1), (1, 0))
    data["viewer", "watched", "movie"].edge_index = edges((0, 0))
    x = interactions().with_graph(data, "movie", MOVIES, "viewer")
    found = built(x)
    assert pairs(found, ("user", "lives_in", "city")) == [(0, 0), (1, 1)]
    assert not any(e[1] in ("watched", "watched_by") for e in found.edge_types)
    assert [n for n in found.left_out if n.startswith("watched")]
    assert "city" not in built(x, users=False).node_types


def test_names_that_are_taken_become_others():
    data = HeteroData()
    data["item"].id = ["m1", "m2"]
    for name in ("rated", "merged_", "kind"):
        data[name].num_nodes = 1
    data["item", "rated", "rated"].edge_index = edges((0, 0))
    data["item", "followed_by", "kind"].edge_index = edges((0, 0))
    data["item", "Has Kind", "merged_"].edge_index = edges((1, 0))
    found = built(interactions().with_graph(data))
    ours = [
        e
        for e in found.edge_types
        if e[0] == "item" and not e[1].startswith("rev_") and e[2] not in ("item", "user")
    ]
    assert len({e[1] for e in ours}) == 3
    assert all(isinstance(found[e].edge_index, torch.Tensor) for e in found.edge_types)
    assert found.merged == []


def broken(change):
    data = graph()
    change(data)
    return data


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (Data(), {}, "a Data is no HeteroData of PyG"),
        ({"movie": 1}, {}, "a dict is no HeteroData"),
        (graph(), {"item": "movies"}, "no node type 'movies', which item= names. Did you mean 'movie'"),
        (graph(), {"item_ids": None}, "say which item each node of type 'movie' is"),
        (graph(), {"item_ids": MOVIES[:3]}, "3 ids for 4 nodes of type 'movie'"),
        (graph(), {"item_ids": ["m1", "m1", "m2", "m3"]}, "'m1' stands for two nodes"),
        (graph(), {"item_ids": ["1", "2", "3", "4"]}, "none of them is among the items of the interactions: there as 'm1', here as '1'"),
        (graph(), {"item_ids": ["m1", None, "m2", "m3"]}, "the id is empty"),
        (graph(), {"names": {"persons": []}}, "no node type 'persons', which names= has"),
        (graph(), {"names": {"person": ["one"]}}, "1 names for 2 nodes of type 'person'"),
        (broken(lambda d: d["movie", "sequel_of", "movie"].update({"edge_index": edges((0, 4))})), {}, "movie sequel_of movie: edge_index names the target 4, but there are 4 nodes"),
        (broken(lambda d: d["movie", "sequel_of", "movie"].update({"edge_index": edges((-1, 0))})), {}, "names the source -1"),
        (broken(lambda d: d["person", "from", "country"].update({"edge_index": torch.zeros(2, 2)})), {}, "must be whole numbers [2, E], got float32 [2, 2]"),
        (broken(lambda d: d["person", "from", "country"].update({"edge_index": torch.zeros(3, 2, dtype=torch.long)})), {}, "got int64 [3, 2]"),
        (broken(lambda d: d["movie", "sequel_of", "movie"].update({"weight": torch.tensor([1.0, 2.0, 1.0])})), {}, "one number in (0, 1] for each of the 3 edges"),
        (broken(lambda d: setattr(d["person", "rev_directed_by", "movie"], "edge_index", edges((0, 3)))), {}, "person rev_directed_by movie is not the inverse of movie directed_by person"),
        (broken(lambda d: setattr(d["user"], "num_nodes", 1)), {}, "its node type 'user' is not mapped"),
        (HeteroData({"movie": {"num_nodes": 4}}), {}, "no edge joins an item"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(data, options, words):
    with pytest.raises(DataError) as error:
        interactions().with_graph(data, **{"item": "movie", "item_ids": MOVIES, **options})
    assert words in str(error.value)
    assert str(error.value).startswith("graph: ")
    assert "\n" not in str(error.value)


def test_few_items_with_a_node_are_told(caplog):
    data = HeteroData()
    data["movie"].num_nodes = 1
    data["person"].num_nodes = 1
    data["movie", "by", "person"].edge_index = edges((0, 0))
    with caplog.at_level(logging.WARNING):
        interactions().with_graph(data, "movie", ["m2"])
    assert "1 of 3 items of the interactions have a node" in caplog.text


def test_the_graph_tells_runs_apart():
    x = interactions()
    first = x.with_graph(graph(), "movie", MOVIES)
    assert content_digest(first) == content_digest(x.with_graph(graph(), "movie", MOVIES))
    other = x.with_graph(graph(), "movie", MOVIES, names={"country": ["Peru"]})
    assert len({content_digest(i) for i in (x, first, other)}) == 3
    assert first.first(np.diff(x.indptr) - 1).graph is first.graph


@pytest.mark.slow
def test_a_run_trains_and_explains_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    films, users = 20, 24
    rows = [(u, f"f{i}") for u in range(users) for i in rng.permutation(films)[:8]]
    who, what = zip(*rows, strict=True)
    x = Interactions.from_frames({"user": list(who), "item": list(what)})
    data = HeteroData()
    data["film"].id = [f"f{n}" for n in range(films)]
    data["maker"].name = [f"Maker {n}" for n in range(4)]
    data["maker"].num_nodes = 4
    data["film", "made_by", "maker"].edge_index = edges(*((n, n % 4) for n in range(films)))
    options = {
        "llm.name": "none",
        "retrieval.epochs": "1",
        "scorer.pretrain_epochs": "1",
        "evaluation.bootstrap": "10",
        "training.tracker": "none",
        "kg.behaviour": "false",
        "threads": "1",
    }
    folder = train(load_config(options), x.with_graph(data, "film"))
    found = Ranker.from_pretrained(folder / "ranker").recommend(
        history=["f0", "f1"], k=10, explain=True
    )
    words = [
        p.sentence if hasattr(p, "sentence") else str(p) for item in found.items for p in item.paths
    ]
    assert any("Maker" in text for text in words)
    assert train(load_config(options), x) != folder
