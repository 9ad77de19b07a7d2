"""Stage one for data that have grown: built-in systems, and custom ones with and without ``extend``."""

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import Tables
from lkgrag.data.growth import grow
from lkgrag.errors import ConfigError, DataError
from lkgrag.kg import build_kg
from lkgrag.retrieval import FusedRetriever, PopularityRetriever, Retriever, ease
from lkgrag.retrieval.growth import grow_retriever
from lkgrag.retrieval.lrurec.induction import induce, of_values
from lkgrag.testing import planted


class Counted(Retriever):
    """Counts, and is fitted again."""

    name = "counted"

    def __init__(self, count, factor=1.0):
        self.count, self.factor, self.num_items = count, factor, len(count)

    @classmethod
    def fit(cls, interactions, data, device, seed, factor=1.0):
        return cls(np.bincount(interactions.item, minlength=interactions.num_items), factor)

    def score(self, histories):
        return np.tile(np.float32(self.factor * self.count), (len(histories), 1))

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def load(cls, folder):
        raise NotImplementedError


class Extended(Counted):
    name = "extended"

    def extend(self, interactions, data, device, seed):
        return type(self)(np.append(self.count, np.zeros(interactions.num_items - len(self.count))))


class Broken(Extended):
    name = "broken"

    def extend(self, interactions, data, device, seed):
        return self


@pytest.fixture(scope="module")
def known():
    return planted(30, 12)


@pytest.fixture(scope="module")
def whole(known):
    events = pd.DataFrame([("u0", "new", 9e9), ("n", "new", 9e9)], columns=["user", "item", "time"])
    items = pd.DataFrame({"item": ["new", "cold"], "title": ["N", "C"]})
    config = DataConfig(min_user=1, min_item=1, time_unit="any")
    return grow(known, Tables(events, items), config).interactions


def fused(known, cls, **kwargs):
    systems = {
        "popularity": PopularityRetriever.fit(known),
        cls.name: cls.fit(known, None, None, 0, **kwargs),
    }
    target = f"{__name__}:{cls.__name__}"
    config = RetrievalConfig(systems=["popularity", target], kwargs={cls.name: kwargs})
    weights = {"popularity": 0.25, cls.name: 0.75}
    return FusedRetriever(systems, weights, False, {cls.name: target}, 1.5), config


def grown(known, whole, cls, **kwargs):
    retriever, config = fused(known, cls, **kwargs)
    data = build_kg(whole, np.diff(whole.indptr), KGConfig())
    return grow_retriever(retriever, whole, data, config, 0)


def test_a_custom_retriever_is_fitted_again_with_its_options(known, whole, caplog):
    found = grown(known, whole, Counted, factor=3.0)
    system = found.systems["counted"]
    assert (system.factor, system.num_items) == (3.0, whole.num_items)
    assert system.count[whole.item_ids.index("new")] == 2
    assert "has no method extend: it is fitted again" in caplog.text
    # The weights, the mask and what is added to new items stay.
    assert found.weights == {"popularity": 0.25, "counted": 0.75}
    assert (found.mask_seen, found.new_items) == (False, 1.5)


def test_a_custom_retriever_with_extend_is_extended(known, whole):
    system = grown(known, whole, Extended).systems["extended"]
    assert system.count[-2:].tolist() == [0, 0]
    with pytest.raises(ConfigError, match="num_items of Broken must be 14, got 12"):
        grown(known, whole, Broken)


def test_a_catalogue_that_outgrows_a_system_is_refused(known, whole, monkeypatch):
    systems = {"popularity": PopularityRetriever.fit(known), "ease": ease.EASERetriever.fit(known)}
    retriever = FusedRetriever(systems)
    monkeypatch.setattr(ease, "MOST_ITEMS", 13)
    data = build_kg(whole, np.diff(whole.indptr), KGConfig())
    with pytest.raises(DataError, match="ease weighs every pair of items"):
        grow_retriever(retriever, whole, data, RetrievalConfig(), 0)


def test_an_items_values_speak_for_it_without_itself(known):
    vectors = np.random.default_rng(0).normal(size=(known.num_items, 3))
    data = build_kg(known, np.diff(known.indptr), KGConfig(exclude=["has_size", "has_colour"]))
    found = of_values(vectors, data, known.num_items)
    start, end = data["item", "has_maker", "maker"].edge_index.tolist()
    for item in range(known.num_items):
        total, weights = np.zeros(3), 0.0
        for maker in [e for s, e in zip(start, end, strict=True) if s == item]:
            having = [s for s, e in zip(start, end, strict=True) if e == maker]
            others = [s for s in having if s != item]
            if others:
                weight = 1 / np.log(np.e + len(having))
                total += weight * vectors[others].mean(0)
                weights += weight
        np.testing.assert_allclose(found[item], total / max(weights, 1e-12), atol=1e-12)


def test_a_new_item_in_lrurec_is_the_mean_of_its_neighbours(known, whole):
    vectors = torch.randn(known.num_items, 4, generator=torch.Generator().manual_seed(0)).numpy()
    data = build_kg(whole, np.diff(whole.indptr), KGConfig(similar_titles=0))
    bias = np.log1p(np.bincount(known.item)).astype(np.float32)
    new, biases = induce(vectors, bias, whole, data)
    user = whole.user_ids.index("u0")
    near = whole.sequence(user)[-2]
    # "new" was chosen by u0 after all others, so the latest counts most; nobody else has neighbours to tell.
    assert new.shape == (2, 4)
    around = whole.sequence(user)[:-1][-10:]
    weight = 0.85 ** np.arange(len(around))[::-1] * (np.bincount(whole.item)[around] + 5) ** -0.5
    expected = (weight[:, None] * vectors[around]).sum(0) / weight.sum()
    np.testing.assert_allclose(new[0], expected, rtol=1e-4, atol=1e-5)
    assert near in around
    # Without neighbours, titles or values there is only the mean of all.
    np.testing.assert_allclose(new[1], vectors.mean(0), atol=1e-5)
    np.testing.assert_allclose(biases, np.log1p([2, 0]), atol=0.15)
