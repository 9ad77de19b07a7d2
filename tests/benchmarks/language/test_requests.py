"""The measurement of requests: its list of paraphrases, its requests and its table."""

import re

import numpy as np
import pandas as pd
import pytest

from benchmarks.language.request_page import page_table, target_of
from benchmarks.language.requests import load_paraphrases, make_requests, measure_requests
from benchmarks.language.systems import BM25, Tfidf, exact_value
from lkgrag.config import DataConfig
from lkgrag.data import Interactions, make_split
from lkgrag.data.splits.base import Events
from lkgrag.retrieval import FusedRetriever
from lkgrag.retrieval.popularity import PopularityRetriever


def stem(word):
    """A word without its ending."""
    return re.sub(r"(es|s|ing|ers|er)$", "", word) if len(word) > 5 else word


def words(text):
    return [w for w in re.findall(r"\w+", text.lower()) if len(w) > 2]


def test_a_paraphrase_shares_no_word_with_the_name_of_its_category():
    paraphrases = load_paraphrases()
    assert len(paraphrases) >= 60
    for category, texts in paraphrases.items():
        assert texts
        for name in words(category):
            for word in (w for text in texts for w in words(text)):
                assert name[:4] != word[:4], (category, word)
                if len(stem(name)) > 3 and len(stem(word)) > 3:
                    assert stem(name) not in word, (category, word)
                    assert stem(word) not in name, (category, word)


@pytest.fixture(scope="module")
def shop():
    """Items of two categories; each user stays with one."""
    rng = np.random.default_rng(0)
    kinds = ["Mascara", "Soaps"] * 10
    users = [
        (f"u{u}", f"i{item}", n)
        for u in range(60)
        for n, item in enumerate(2 * rng.permutation(10)[:5] + u % 2)
    ]
    items = pd.DataFrame(
        {
            "item": [f"i{n}" for n in range(20)],
            "title": [f"Thing model{n} of number{n}" for n in range(20)],
            "brand": [[f"Brand {n // 4}"] for n in range(20)],
            "category": [[kind] for kind in kinds],
        }
    )
    frame = pd.DataFrame(users, columns=["user", "item", "time"])
    return Interactions.from_frames(frame, items=items, config=DataConfig(min_user=1, min_item=1))


def test_a_request_is_of_its_item(shop):
    events = make_split(shop, DataConfig()).val
    made = make_requests(shop, events, 0)
    assert set(made) == {"category", "brand", "title", "paraphrase"}
    assert made == make_requests(shop, events, 0)
    paraphrases = load_paraphrases()
    for event, text in made["paraphrase"]:
        (category,) = shop.items["category"].iloc[events.target[event]]
        assert text in paraphrases[category]
    for event, text in made["title"]:
        title = shop.items["title"].iloc[events.target[event]].lower()
        assert len(text.split()) == 3
        assert set(text.split()) <= set(title.split())


def test_the_rivals_score_as_they_should(shop):
    texts = ["red rose", "red red tulip", "blue"]
    assert BM25(texts)("rose")[0].argmax() == 0
    assert BM25(texts)("unknown")[0].tolist() == [0, 0, 0]
    assert Tfidf([*texts, "red rose"])("red rose")[0].argmax() in (0, 3)
    exact = exact_value(shop.items)
    assert (exact("Soaps")[0] > 0).tolist() == [c == ["Soaps"] for c in shop.items["category"]]
    assert not exact("soap").any()


def test_the_measurement_has_a_row_for_each_system_and_kind(shop):
    split = make_split(shop, DataConfig())
    training = shop.first(split.train_end)
    popularity = PopularityRetriever.fit(training)
    retriever = FusedRetriever({"popularity": popularity})
    # The encoder knows the two categories, however they are named.
    soap = {t for text in load_paraphrases()["Soaps"] for t in words(text)} | {"soaps"}

    def encode(texts):
        return np.asarray([[1, 0.0] if soap & set(words(t)) else [0, 1] for t in texts], np.float32)

    vectors = np.asarray([[1, 0] if c == ["Soaps"] else [0, 1] for c in shop.items["category"]])
    args = (shop, retriever, split.val, vectors.astype(np.float32), encode)
    rows = measure_requests(*args)
    assert rows == measure_requests(*args)
    found = {(r["kind"], r["system"]): r for r in rows}
    assert len(found) == len(rows)
    for row in rows:
        assert 0 <= row["ndcg@10"] <= row["recall@10"] <= 1
    for metric in ("recall@10", "ndcg@10"):
        base = found["paraphrase", "tfidf_history"]
        ours = found["paraphrase", "both_history"]
        assert base[f"{metric}_difference"] == 0
        expected = ours[metric] - base[metric]
        assert ours[f"{metric}_difference"] == pytest.approx(expected)
    # No word of a paraphrase is in a text, so only the encoder finds them.
    assert (
        found["paraphrase", "both_history"]["ndcg@10"]
        > found["paraphrase", "words_history"]["ndcg@10"]
    )
    assert (
        found["category", "attribute_filter"]["recall@10"]
        > found["category", "history"]["recall@10"]
    )
    page = page_table(rows).splitlines()
    assert page[0].count("|") == page[-1].count("|")
    assert sum("lkgrag" in line for line in page) == 2
    target = target_of(rows)
    assert target["name"] == "L7"
    assert isinstance(target["met"], bool)


def test_an_event_without_text_has_no_request(shop):
    events = Events(*(np.zeros(0, np.int64) for _ in range(3)))
    assert make_requests(shop, events, 0) == {}
