"""The weights of a request against the history."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions, make_split
from lkgrag.data.splits.base import Events
from lkgrag.retrieval import FusedRetriever
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.requests import fit_requests, sample_requests
from lkgrag.text.requests import RequestModel


@pytest.fixture(scope="module")
def shop():
    """Users choose at random among thirty items, so that the history says nothing."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{u}", f"i{item}", n)
        for u in range(80)
        for n, item in enumerate(rng.permutation(30)[:5])
    ]
    items = pd.DataFrame(
        {
            "item": [f"i{n}" for n in range(30)],
            "title": [f"word{n} thing{n % 7}" for n in range(30)],
            "category": [[f"kind {n % 3}"] for n in range(30)],
        }
    )
    frame = pd.DataFrame(rows, columns=["user", "item", "time"])
    x = Interactions.from_frames(frame, items=items, config=DataConfig(min_user=1, min_item=1))
    split = make_split(x, DataConfig())
    retriever = FusedRetriever({"popularity": PopularityRetriever.fit(x.first(split.train_end))})
    return x, split, retriever


def test_words_that_name_the_target_get_weight(shop):
    interactions, split, retriever = shop
    start = dataclasses.replace(RequestModel.of(interactions.items), weights=(0.1, 0.1, 0.1))
    fitted = fit_requests(start, retriever, interactions, split.val, seed=0)
    assert fitted.weights[0] > 1
    assert fitted == fit_requests(start, retriever, interactions, split.val, seed=0)


def test_texts_of_other_items_get_less_weight(shop):
    interactions, split, retriever = shop
    wrong = interactions.items.iloc[::-1].reset_index(drop=True)
    models = [
        dataclasses.replace(RequestModel.of(items), weights=(0.1, 0.1, 0.1))
        for items in (interactions.items, wrong)
    ]
    right, other = (
        fit_requests(m, retriever, interactions, split.val, seed=0).weights[0] for m in models
    )
    assert other < right / 2


def test_without_events_the_weights_stay(shop):
    interactions, _, retriever = shop
    model = RequestModel.of(interactions.items)
    none = Events(*(np.zeros(0, np.int64) for _ in range(3)))
    assert fit_requests(model, retriever, interactions, none, seed=0).weights == model.weights


def test_a_sample_is_of_the_events_and_repeats(shop):
    interactions, split, _ = shop
    sample, requests = sample_requests(interactions.items, split.val, 10, seed=0)
    assert len(sample) == 10
    assert {r.event for r in requests} <= set(range(10))
    again, same = sample_requests(interactions.items, split.val, 10, seed=0)
    assert requests == same
    np.testing.assert_array_equal(sample.target, again.target)
