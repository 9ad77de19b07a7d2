"""Requests in words, from a run to the terminal."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from helpers.tiny_bert import save_bert
from rich.console import Console

from lkgrag import Ranker, load_config, train
from lkgrag.errors import ConfigError, LkgragError
from lkgrag.recommend import COMMAND, body
from lkgrag.report import recommendation_page
from lkgrag.serving.asked import ask
from lkgrag.serving.recommendation import RankedItem, Recommendation

pytestmark = pytest.mark.slow

KINDS = {
    "Perfume": "scent rose",
    "Soap": "olive bar",
    "Comb": "wooden teeth",
    "Mirror": "round glass",
}
#: Items of each kind.
EACH = 10


def write_shop(root):
    """Forty items of four kinds; users stay with one kind, and nobody chose the last item of each."""
    rng = np.random.default_rng(0)
    rows, users = [], 60
    names = [f"i{n}" for n in range(len(KINDS) * EACH)]
    for user in range(users):
        kind = user % len(KINDS)
        chosen = rng.permutation(EACH - 1)[:6] + kind * EACH
        rows += [(f"u{user}", names[n], 5.0, 100 * place + user) for place, n in enumerate(chosen)]
    # One user has all, so that each item is in the data.
    rows += [("all", name, 5.0, 9000 + n) for n, name in enumerate(names)]
    inter = pd.DataFrame(
        rows, columns=["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    )
    inter.to_csv(root / "shop.inter", sep="\t", index=False)
    titles = [f"{words} no{n}" for words in KINDS.values() for n in range(EACH)]
    kinds = [kind for kind in KINDS for _ in range(EACH)]
    item = pd.DataFrame({"i": names, "t": titles, "c": kinds})
    item.columns = ["item_id:token", "title:token_seq", "category:token_seq"]
    item.to_csv(root / "shop.item", sep="\t", index=False)


def run_of(root, **options):
    root.mkdir()
    write_shop(root)
    values = {
        "data.name": "shop",
        "data.root": str(root),
        "data.min_user": "1",
        "data.min_item": "1",
        "llm.name": "none",
        "retrieval.systems": "[popularity,itemitem,graph_itemitem]",
        "retrieval.epochs": "1",
        "retrieval.hidden": "16",
        "retrieval.k": "8",
        "scorer.pretrain_epochs": "1",
        "training.tracker": "none",
        "cache.root": str(root / "cache"),
        "out": str(root / "out"),
        "threads": "1",
        **options,
    }
    return train(load_config(values))


@pytest.fixture(scope="module")
def by_words(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("words") / "run")


@pytest.fixture(scope="module")
def by_meaning(tmp_path_factory):
    root = tmp_path_factory.mktemp("meaning")
    return run_of(root / "run", **{"text.encoder": str(save_bert(root / "bert"))})


@pytest.fixture(scope="module")
def words(by_words):
    return Ranker.from_pretrained(by_words, "cpu")


@pytest.fixture(scope="module")
def meaning(by_meaning):
    return Ranker.from_pretrained(by_meaning, "cpu")


def kinds_of(found):
    return [list(KINDS)[int(item.item[1:]) // EACH] for item in found.items]


def test_a_request_finds_what_the_history_would_not_propose(words):
    history = ["i0", "i1", "i2"]
    assert set(kinds_of(words.recommend(history, k=5))) == {"Perfume"}
    found = words.recommend(history, k=3, request="an olive bar")
    assert kinds_of(found) == ["Soap"] * 3
    assert found.request == "an olive bar"
    # The attribute is part of an item's text, too.
    assert kinds_of(words.recommend(history, k=3, request="mirror")) == ["Mirror"] * 3


def test_the_parts_add_up_and_say_which_spoke(words):
    found = words.recommend(["i0", "i1"], k=8, request="olive bar")
    for item in found.items:
        assert item.score == pytest.approx(
            item.lm + item.scorer + item.prior + item.request, abs=1e-4
        )
    assert "request" in found.parts
    assert found.items[0].asked == "asked for: olive, bar"
    plain = words.recommend(["i0", "i1"], k=8)
    assert "request" not in plain.parts
    assert plain.request is None
    assert not any(item.asked or item.request for item in plain.items)


def test_someone_without_history_gets_what_is_asked_for(words):
    found = words.recommend([], k=3, request="wooden no7")
    assert found.items[0].item == "i27"
    assert found.history == []


def test_an_item_that_no_user_chose_is_found_by_its_words(words):
    # In training no one has it but the last user.
    assert words.recommend(["i0"], k=1, request="round glass no9").items[0].item == "i39"


def test_the_weight_is_a_multiple_of_the_learned_one(words):
    history = ["i0", "i1", "i2"]
    one, same = (words.recommend(history, request="olive", weight=w) for w in (None, 1))
    assert one == same
    none = words.recommend(history, request="olive", weight=0)
    plain = words.recommend(history)
    assert [i.item for i in none.items] == [i.item for i in plain.items]
    assert not any(item.request or item.asked for item in none.items)
    parts = [
        words.recommend(history, ["i10", "i0"], request="olive", weight=w).items[0].request
        for w in (1, 3)
    ]
    assert parts[1] == pytest.approx(3 * parts[0], rel=1e-4)
    # The request alone: no history changes it.
    for history in (["i0"], ["i30"], []):
        alone = words.recommend(history, k=4, request="olive no3", weight=1e6)
        assert alone.items[0].item == "i13"


def test_named_candidates_are_ranked_by_the_request(words):
    found = words.recommend(["i0"], ["i1", "i15", "i35"], request="glass")
    assert found.items[0].item == "i35"


def test_users_are_asked_for_the_same(words):
    first, second = words.recommend_users(["u0", "u2"], k=3, request="olive bar", weight=100)
    assert kinds_of(first) == kinds_of(second) == ["Soap"] * 3
    assert (first.user, second.user) == ("u0", "u2")


def test_an_answer_does_not_depend_on_the_batch(words):
    users = [f"u{n}" for n in range(40)]
    together = words.recommend_users(users, k=3, explain=False, request="olive teeth")
    alone = words.recommend_users(users[7:8], k=3, explain=False, request="olive teeth")[0]
    assert [i.item for i in together[7].items] == [i.item for i in alone.items]


def test_the_encoder_is_loaded_at_the_first_request_and_kept(by_meaning):
    ranker = Ranker.from_pretrained(by_meaning, "cpu")
    ranker.recommend(["i0"], k=2)
    assert "encoder" not in vars(ranker.context)
    ranker.recommend(["i0"], k=2, request="olive")
    encoder = ranker.context.encoder
    ranker.recommend(["i0"], k=2, request="round")
    assert ranker.context.encoder is encoder


def test_a_request_in_other_words_is_near_in_meaning(meaning):
    # A random encoder spells words in letters: these are near to "olive bar" and equal none of its words.
    found = meaning.recommend([], k=8, request="zzz qqq", weight=50)
    assert found.items
    named = {item.asked for item in found.items if item.asked}
    assert named
    assert all(text.startswith("near in meaning: ") for text in named)


def test_a_missing_encoder_is_one_line(by_meaning, tmp_path):
    ranker = Ranker.from_pretrained(by_meaning, "cpu")
    ranker.context.config.text.encoder = str(tmp_path / "gone")
    with pytest.raises(LkgragError, match=r"text.encoder") as caught:
        ranker.recommend(["i0"], request="olive")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("request_", "weight", "message"),
    [
        ("", None, "request: it is empty"),
        (" \n\t", None, "request: it is empty"),
        ("zzz qqq", None, "no item has a word of 'zzz qqq'; .* text.encoder=minilm"),
        ("...", None, "no item has a word of"),
        (7, None, "request: must be text, got int"),
        ("olive", -1, "weight=-1: must be a number from 0"),
        ("olive", float("nan"), "weight=nan"),
        ("olive", float("inf"), "weight=inf"),
        (None, 2, "give request="),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_one_line(words, request_, weight, message):
    with pytest.raises(ConfigError, match=message) as caught:
        words.recommend(["i0"], request=request_, weight=weight)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "olive " * 2000,
        "olive </s> [SEP] <script>alert(1)</script>",
        "olive\nbar\r\n\x1b[31m",
        "香水 оливковое olive",
        "olive \ud800 bar",
        "[bold]olive[/bold] {{ 7*7 }}",
    ],
)
def test_hostile_text_finds_the_soaps_and_harms_no_output(words, meaning, text):
    for ranker in (words, meaning):
        found = ranker.recommend(["i0"], k=3, request=text, weight=30)
        if ranker is words:
            # The other one has a random encoder.
            assert kinds_of(found)[0] == "Soap"
        json.dumps(found.to_dict(), ensure_ascii=False).encode()
        assert Recommendation.from_dict(json.loads(json.dumps(found.to_dict()))) == found
        page = recommendation_page([found])
        assert "<script>alert" not in page
        assert "request" in page
        file = io.StringIO()
        found.show(Console(file=file, width=80, highlight=False))
        assert "\x1b" not in file.getvalue()
        assert all(len(line) <= 80 for line in file.getvalue().splitlines() if line.isascii())


def test_a_ranker_of_an_older_version_says_train_again(by_words):
    ranker = Ranker.from_pretrained(by_words, "cpu")
    ranker.context.requests = None
    with pytest.raises(ConfigError, match=r"older version, .*train again"):
        ask(ranker.context, "olive", None)
    ids = ranker.context.catalogue.ids
    # An item without a title is shown by its id.
    for titles in ([""] * len(ids), ["the same"] * len(ids), list(ids)):
        object.__setattr__(ranker.context.catalogue, "titles", titles)
        with pytest.raises(ConfigError, match="no titles that differ"):
            ask(ranker.context, "olive", None)
    assert ask(ranker.context, None, None) is None


def test_a_saved_ranker_answers_the_same(words, tmp_path):
    words.save_pretrained(tmp_path / "again")
    again = Ranker.from_pretrained(tmp_path / "again", "cpu")
    assert again.recommend(["i0"], request="olive") == words.recommend(["i0"], request="olive")


def test_the_weights_are_learned(words, by_words):
    model = words.context.requests
    assert all(np.isfinite(model.weights))
    assert model.weights[0] > 0
    assert model.in_ranking > 0
    stored = json.loads((by_words / "ranker" / "requests" / "requests.json").read_text())
    assert stored["weights"] == list(model.weights)
    assert stored["in_ranking"] == model.in_ranking


def test_the_command_takes_a_request(by_words, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    run = {"run": str(by_words), "format": "json", "out": str(out), "k": "3"}
    body({**run, "history": "[]", "request": "an olive bar", "weight": "5"}, set())
    (found,) = json.loads(out.read_text())
    assert found["request"] == "an olive bar"
    assert "olive" in found["items"][0]["title"]
    body({**run, "users": "u0,u1", "request": "olive"}, set())
    assert [r["request"] for r in json.loads(out.read_text())] == ["olive"] * 2
    with pytest.raises(ConfigError, match="option 'weight': 'much' is no number"):
        body({**run, "history": "[]", "request": "olive", "weight": "much"}, set())
    with pytest.raises(ConfigError, match="request= is not for shards"):
        body({"run": str(by_words), "users": "all", "request": "x", "out": f"{tmp_path}/"}, set())
    assert {"request", "weight"} <= set(COMMAND.options)


def test_five_columns_fit_into_80():
    item = RankedItem(1, "7", "T" * 60, 1.0, 2.0, 3.0, 4.0, [], 5.0, "asked for: perfume")
    file = io.StringIO()
    Recommendation([item], [], request="perfume").show(Console(file=file, width=80))
    lines = file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any("request: perfume" in line for line in lines)
    assert any("asked for: perfume" in line for line in lines)
    assert any(line.rstrip().endswith("request") for line in lines)
