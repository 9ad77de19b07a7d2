"""Variety in served lists: the order of MMR, its options, its limits, and that without it nothing changes."""

import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lkgrag import Ranker, recommend
from lkgrag.errors import ConfigError
from lkgrag.kg.item_vectors import ItemVectors
from lkgrag.serving.diversity import reorder
from lkgrag.serving.recommendation import RankedItem, Recommendation


def slow_mmr(scores, similarity, d, k):
    """The plain definition, pair by pair."""
    low, high = min(scores), max(scores)
    relevance = [(s - low) / (high - low) if high > low else 1.0 for s in scores]
    left, chosen = list(range(len(scores))), []
    while left and len(chosen) < k:
        best, most = left[0], -np.inf
        for item in left:
            like = max((similarity[item][other] for other in chosen), default=0.0)
            value = (1 - d) * relevance[item] - d * like if chosen else relevance[item]
            if value > most:
                best, most = item, value
        chosen.append(best)
        left.remove(best)
    return chosen


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("d", [0.1, 0.5, 0.9, 1.0])
def test_the_order_is_that_of_the_definition(seed, d):
    rng = np.random.default_rng(seed)
    scores = np.sort(rng.normal(size=12))[::-1]
    similarity = rng.random((12, 12))
    similarity = (similarity + similarity.T) / 2
    found = reorder(scores, similarity, d, 8)
    assert found.order.tolist() == slow_mmr(scores.tolist(), similarity.tolist(), d, 8)
    for place, item in enumerate(found.order.tolist()):
        above = found.order[:place]
        assert found.alike[place] == pytest.approx(similarity[item, above].max(initial=0))


def test_twins_are_parted():
    # Items 0 and 1 are twins; 2 is a little worse and unlike both.
    similarity = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1.0]])
    assert reorder(np.array([3, 2.9, 2]), similarity, 0.0, 3).order.tolist() == [0, 1, 2]
    assert reorder(np.array([3, 2.9, 2]), similarity, 0.5, 3).order.tolist() == [0, 2, 1]


@pytest.mark.parametrize("scores", [[1, 1, 1], [np.nan, np.nan, np.nan], [2, -np.inf, np.nan]])
def test_equal_and_missing_scores_keep_their_order(scores):
    assert reorder(np.array(scores, float), np.eye(3), 0.3, 9).order.tolist() == [0, 1, 2]
    assert reorder(np.zeros(0), np.zeros((0, 0)), 0.3, 5).order.tolist() == []


def test_why_an_item_moved_is_shown():
    items = [RankedItem(n, str(n), f"T{n}", 1.0, 0, 0, 1.0) for n in (1, 2)]
    up = RankedItem(3, "3", "T3", 1.0, 0, 0, 1.0, moved=2, alike=0.25)
    down = RankedItem(4, "4", "T4", 1.0, 0, 0, 1.0, moved=-1, alike=1.0)
    assert [item.variety for item in (*items, up, down)] == [
        "",
        "",
        "up 2 for variety: 0.25 like an item above",
        "down 1 for variety: 1.00 like an item above",
    ]
    console = Console(width=80, record=True)
    Recommendation([*items, up, down], []).show(console)
    assert "down 1 for variety" in console.export_text()


@pytest.fixture(scope="module")
def ranker(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


def whole(ranking):
    return [item.item for item in ranking.items]


def test_without_variety_the_ranking_is_bit_for_bit_the_same(ranker):
    users = ranker.users()[:5]
    plain = ranker.recommend_users(users)
    assert ranker.recommend_users(users, diversity=0) == plain
    assert all(item.moved == 0 and item.alike == 0 for r in plain for item in r.items)


def test_candidates_are_reordered_before_the_cut(ranker):
    user = ranker.users()[0]
    (everything,) = ranker.recommend_users([user], k=8, explain=False)
    (found,) = ranker.recommend_users([user], k=3, explain=False, diversity=0.8)
    index = [ranker.context.catalogue.ids.index(i) for i in whole(everything)]
    scores = [item.score for item in everything.items]
    similarity = ranker.context.item_vectors.similarity(np.array(index))
    order = slow_mmr(scores, similarity.tolist(), 0.8, 3)
    assert whole(found) == [whole(everything)[n] for n in order]
    assert [item.rank for item in found.items] == [1, 2, 3]
    assert [item.moved for item in found.items] == [n - place for place, n in enumerate(order)]
    # A score stays what it is, with its parts.
    by_item = {item.item: item.score for item in everything.items}
    assert all(item.score == by_item[item.item] for item in found.items)


def test_variety_goes_with_limits_requests_and_candidates(ranker):
    ids = ranker.context.catalogue.ids
    varied = ranker.recommend(ids[:3], k=5, explain=False, diversity=1.0, exclude=ids[3:6])
    assert not set(ids[3:6]) & set(whole(varied))
    named = ranker.recommend(ids[:3], candidates=ids[10:14], k=4, diversity=0.7)
    assert sorted(whole(named)) == sorted(ids[10:14])
    title = ranker.context.catalogue.titles[5]
    asked = ranker.recommend([], k=4, request=title, weight=50, diversity=0.2)
    assert len(asked.items) == 4
    assert asked.items[0].item == ranker.recommend([], k=4, request=title, weight=50).items[0].item


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (True, r"diversity: must be a number from 0 to 1, got True \(bool\)"),
        ("0.5", r"diversity: must be a number from 0 to 1, got '0.5' \(str\)"),
        (None, "diversity: must be a number from 0 to 1, got None"),
        (float("nan"), "diversity=nan: must be a number from 0 to 1"),
        (float("inf"), "diversity=inf: must be a number from 0 to 1"),
        (np.complex64(0.3 + 5j), "diversity: must be a number from 0 to 1, got .*complex64"),
        (np.timedelta64(0), "diversity: must be a number from 0 to 1, got .*timedelta64"),
        (1.01, "diversity=1.01: must be a number from 0 to 1"),
        (-0.1, "diversity=-0.1: must be a number from 0 to 1"),
    ],
)
def test_what_is_no_share_is_refused(ranker, wrong, message):
    with pytest.raises(ConfigError, match=message):
        ranker.recommend([], diversity=wrong)
    with pytest.raises(ConfigError, match=message):
        ranker.recommend_users(ranker.users()[:1], diversity=wrong)


def test_items_that_nothing_tells_apart_cannot_be_varied(ranker, monkeypatch):
    monkeypatch.setattr(ItemVectors, "of", lambda data: None)
    monkeypatch.delitem(vars(ranker.context), "item_vectors", raising=False)
    with pytest.raises(ConfigError, match="neither attributes nor vectors of their texts"):
        ranker.recommend([], diversity=0.5)
    assert ranker.recommend([], diversity=0).items
    del vars(ranker.context)["item_vectors"]


def test_the_command_and_its_shards(run_without_lm, ranker, tmp_path, capsys):
    user = ranker.users()[0]
    words = {"run": str(run_without_lm), "diversity": "0.6", "k": "4"}
    recommend.body({**words, "users": user, "format": "json"}, set())
    (value,) = json.loads(capsys.readouterr().out)
    expected = ranker.recommend_users([user], k=4, diversity=0.6)[0]
    assert [item["item"] for item in value["items"]] == whole(expected)
    assert Recommendation.from_dict(value).items[1].alike == expected.items[1].alike
    out = f"{tmp_path}/recs/"
    recommend.body({**words, "users": "all", "out": out}, set())
    table = pd.read_parquet(out)
    assert table[table["user"] == user]["item"].tolist() == whole(expected)
    with pytest.raises(ConfigError, match="option 'diversity': 'much' is no number from 0 to 1"):
        recommend.body({**words, "diversity": "much", "users": user}, set())
    with pytest.raises(Exception, match=r"rankings made with diversity=0\.6, not 0\.0"):
        recommend.body({"run": words["run"], "k": "4", "users": "all", "out": out}, set())


def test_rankings_of_older_versions_are_read():
    item = {"rank": 1, "item": "a", "title": "A", "score": 1.0, "lm": 0, "scorer": 0, "prior": 1.0}
    value = {"user": None, "target": None, "history": [], "items": [{**item, "paths": []}]}
    assert Recommendation.from_dict(value).items[0].moved == 0
