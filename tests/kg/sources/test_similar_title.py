"""Likeness of titles, against cosines computed one pair at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data import Interactions, make_split
from lkgrag.errors import ConfigError
from lkgrag.kg import build_kg
from lkgrag.kg.checks.audit import LEAK, NO_SIGN, audit
from lkgrag.kg.path_words import PathWords
from lkgrag.kg.sources import similar_title as module
from lkgrag.kg.sources.similar_title import similar_titles, title_vectors

ALIKE = ("item", "similar_title", "item")
TITLES = [
    "Rose hand cream, 50 ml",
    "Rose hand cream, 100 ml",
    "Hand cream with olive oil",
    "Nail polish remover",
    "Nail polish, red",
    None,
    "   ",
    "薔薇のハンドクリーム",
    "薔薇の石鹸",
]


def shop(titles):
    frame = pd.DataFrame(
        {
            "user": np.repeat([0, 1, 2], 4),
            "item": [0, 1, 2, 3, 4, 0, 2, 1, 3, 4, 0, 1],
            "time": np.arange(12),
        }
    )
    numbers = range(max(5, len(titles)))
    items = pd.DataFrame({"item": numbers, "title": [*titles, *[None] * 5][: len(numbers)]})
    return Interactions.from_frames(
        frame, items, config=DataConfig(min_user=1, min_item=1, untitled="keep")
    )


def edges(found):
    return {(int(a), int(b)): float(w) for a, b, w in zip(*found.index, found.weight, strict=True)}


@pytest.mark.parametrize("top", [1, 2, 8])
@pytest.mark.parametrize("block", [1, 2, 100])
def test_the_nearest_by_cosine(top, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    vectors = title_vectors(TITLES).toarray().astype(float)
    cosine = np.round(vectors @ vectors.T, 5)
    expected = {}
    for i in range(len(TITLES)):
        near = [j for j in range(len(TITLES)) if j != i and cosine[i, j] >= module.LEAST]
        for j in sorted(near, key=lambda j: (-cosine[i, j], j))[:top]:
            expected[i, j] = expected[j, i] = cosine[i, j]
    found = similar_titles(TITLES, top)
    assert edges(found) == pytest.approx(expected, abs=2e-5)
    assert found.index.dtype == np.int64
    assert found.weight.dtype == np.float32
    order = found.index[0] * len(TITLES) + found.index[1]
    assert (np.diff(order) > 0).all()


def test_what_is_alike():
    found = edges(similar_titles(TITLES, 3))
    assert found[0, 1] > found[0, 2] > 0
    assert found[3, 4] > 0.3
    # A script without spaces is read by groups of characters.
    assert (7, 8) in found
    assert not {5, 6} & {i for pair in found for i in pair}
    assert (0, 3) not in found


def test_the_same_title_is_1_and_no_more():
    found = edges(similar_titles(["Blue soap"] * 3 + ["Green tea"], 2))
    assert found == {(a, b): 1.0 for a in range(3) for b in range(3) if a != b}


@pytest.mark.parametrize(
    "titles",
    [[], [None, None], ["one", "two"], ["", " "], ["!!!", "???"], ["a"], ["\ud83d\ude00" * 3, "x"]],
)
def test_nothing_alike(titles):
    found = similar_titles(titles, 5)
    assert found.index.shape == (2, 0)
    assert found.weight.shape == (0,)


def test_common_terms_join_nothing(monkeypatch):
    monkeypatch.setattr(module, "COMMON", 3)
    found = edges(
        similar_titles(["zzz alpha", "zzz beta", "zzz gamma", "zzz delta", "gamma ray"], 5)
    )
    assert set(found) == {(2, 4), (4, 2)}


def test_in_the_graph_whatever_is_trained_on():
    x = shop(TITLES[:5])
    split = make_split(x, DataConfig())
    one, other = (build_kg(x, end, KGConfig()) for end in (split.train_end, split.train_end - 1))
    for data in (one, other):
        assert data[ALIKE].edge_index.equal(one[ALIKE].edge_index)
        assert float(data[ALIKE].weight.max()) <= 1
        assert "count" not in data[ALIKE]
    # It is its own inverse.
    assert ("item", "rev_similar_title", "item") not in one.edge_types
    words = PathWords(one).sentence((ALIKE,), [0, 1])
    assert words == "has a title like that of Rose hand cream, 50 ml"


def test_left_out():
    x = shop(TITLES[:5])
    end = make_split(x, DataConfig()).train_end
    for config in (KGConfig(similar_titles=0), KGConfig(exclude=["similar_title"])):
        assert ALIKE not in build_kg(x, end, config).edge_types
    # No titles, no relation; that it is not wanted may be said all the same.
    bare = shop([None] * 5)
    assert ALIKE not in build_kg(bare, end, KGConfig(exclude=["similar_title"])).edge_types
    with pytest.raises(ConfigError, match=r"kg.similar_titles must be at least 0, got -1"):
        build_kg(x, end, KGConfig(similar_titles=-1))
    with pytest.raises(ConfigError, match=r"kg.exclude: no relation 'similar_title'"):
        build_kg(x, end, KGConfig(similar_titles=0, exclude=["similar_title"]))


def test_a_relation_of_the_data_by_that_name_keeps_its_edges():
    x = shop(TITLES[:5])
    triples = pd.DataFrame([("0", "similar_title", "4")], columns=["head", "relation", "tail"])
    frame = pd.DataFrame({"user": x.user, "item": x.item, "time": x.time})
    items = pd.DataFrame({"item": range(5), "title": TITLES[:5]})
    both = Interactions.from_frames(
        frame, items, triples, config=DataConfig(min_user=1, min_item=1)
    )
    data = build_kg(both, make_split(both, DataConfig()).train_end, KGConfig())
    assert data[ALIKE].edge_index.equal(
        build_kg(x, make_split(x, DataConfig()).train_end, KGConfig())[ALIKE].edge_index
    )
    theirs = [e for e in data.edge_types if "similar_title" in e[1] and e != ALIKE]
    assert len(theirs) == 2


def test_the_audit_makes_it_again():
    x = shop(TITLES[:5])
    split, config = make_split(x, DataConfig()), KGConfig()
    data = build_kg(x, split.train_end, config)

    def verdict():
        found = {f.relation: f for f in audit(data, x, split, config)}["similar_title"]
        return found.verdict, found.over

    assert verdict() == (NO_SIGN, 0)
    planted = build_kg(shop(list(reversed(TITLES[:5]))), split.train_end, config)
    data[ALIKE].edge_index = planted[ALIKE].edge_index
    data[ALIKE].weight = planted[ALIKE].weight
    assert verdict()[0] == LEAK
    assert verdict()[1] > 0


def test_two_spellings_of_a_title_are_alike():
    composed, other = "Am\u00e9lie caf\u00e9", "Ame\u0301lie cafe\u0301"
    titles = [composed, other, "Something else", "Something other"]
    edges = similar_titles(titles, 1)
    weight = dict(zip(map(tuple, edges.index.T.tolist()), edges.weight.tolist(), strict=True))
    assert weight[0, 1] == 1.0
