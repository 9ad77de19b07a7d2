import pytest
from torch_geometric import transforms

from lkgrag.config import PathsConfig
from lkgrag.errors import ConfigError
from lkgrag.paths import ShortestPaths, metapaths
from lkgrag.testing.graph import toy_kg

NEXT, BACK = ("item", "followed_by", "item"), ("item", "rev_followed_by", "item")
CO = ("item", "co_rated", "item")
GENRE, OF_GENRE = ("item", "has_genre", "genre"), ("genre", "rev_has_genre", "item")
RATED, RATED_BY = ("user", "rated", "item"), ("item", "rev_rated", "user")


def test_shorter_first_and_no_users_inside():
    edges = [GENRE, OF_GENRE, RATED, RATED_BY, NEXT, BACK, CO]
    assert metapaths(edges, PathsConfig()) == [(NEXT,), (BACK,), (CO,), (GENRE, OF_GENRE)]
    assert metapaths(edges, PathsConfig(max_length=1)) == [(NEXT,), (BACK,), (CO,)]


def test_items_inside_only_on_demand():
    edges = [GENRE, OF_GENRE, NEXT]
    assert metapaths(edges, PathsConfig(max_length=3)) == [(NEXT,), (GENRE, OF_GENRE)]
    listed = metapaths(edges, PathsConfig(max_length=3, through_items=True))
    assert (NEXT, NEXT, NEXT) in listed
    assert (NEXT, GENRE, OF_GENRE) in listed
    assert len(listed) == len(set(listed))
    assert [len(m) for m in listed] == sorted(len(m) for m in listed)


def test_one_meaning_occurs_once():
    doubled = [
        CO,
        ("item", "rev_co_rated", "item"),
        ("item", "rev_rev_has_genre", "genre"),
        GENRE,
        OF_GENRE,
    ]
    assert metapaths(doubled, PathsConfig()) == [(CO,), (GENRE, OF_GENRE)]


def test_undirected_graph_has_the_same_metapaths():
    data = toy_kg()
    expected = metapaths(data.edge_types, PathsConfig())
    assert metapaths(transforms.ToUndirected()(data).edge_types, PathsConfig()) == expected


def test_length_is_checked():
    for length in (0, 5):
        with pytest.raises(ConfigError, match=r"paths\.max_length"):
            metapaths([NEXT], PathsConfig(max_length=length))


def test_relations_that_paths_go_over():
    data = toy_kg()
    only = metapaths(data.edge_types, PathsConfig(relations=["directed_by", "followed_by"]))
    assert {e[1] for m in only for e in m} == {
        "directed_by", "rev_directed_by", "followed_by", "rev_followed_by",
    }  # fmt: skip
    without = metapaths(data.edge_types, PathsConfig(exclude=["followed_by"]))
    assert not any("followed_by" in e[1] for m in without for e in m)
    shortest = ShortestPaths(data, PathsConfig(relations=["starring"]))
    assert {e[1] for e in shortest.edge_types} == {"starring", "rev_starring"}
    for options in ({"relations": ["directed"]}, {"exclude": ["directed"]}):
        with pytest.raises(ConfigError, match=r"no relation .directed.*Did you mean .directed_by"):
            metapaths(data.edge_types, PathsConfig(**options))
