"""The retriever ``text``: what items say decides, for known items and for new ones."""

import numpy as np
import pytest
import torch
from helpers.sequences import sequences

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.errors import DataError, LkgragError
from lkgrag.kg import build_kg
from lkgrag.retrieval.ranks import Seen, histories_of, ndcg, pessimistic_ranks
from lkgrag.retrieval.systems import check_data, fused_systems
from lkgrag.retrieval.text import training
from lkgrag.retrieval.text.network import LATEST, Features, TextTowers, latest_items
from lkgrag.retrieval.text.retriever import TextRetriever
from lkgrag.retrieval.text.training import Examples, Pool, train_towers
from lkgrag.testing import planted
from lkgrag.text import Words, item_texts


@pytest.fixture(scope="module")
def data():
    return planted(150, 40)


@pytest.fixture(scope="module")
def split(data):
    return make_split(data, DataConfig())


@pytest.fixture(autouse=True)
def many_steps(monkeypatch):
    """As many steps on planted sequences as on real ones."""
    monkeypatch.setattr(training, "BATCH", 64)
    monkeypatch.setattr(training, "EPOCHS", 8)


def validation_ndcg(retriever, data, split):
    histories = histories_of(data, split.val)
    ranks = pessimistic_ranks(
        retriever.score(histories), split.val.target, Seen.of(histories, True)
    )
    return ndcg(ranks, 10)


def test_words_decide_and_permuted_texts_do_not(data, split):
    known = data.first(split.train_end)
    told = validation_ndcg(TextRetriever.fit(known), data, split)
    order = np.random.default_rng(0).permutation(data.num_items)
    items = data.items.iloc[order].reset_index(drop=True)
    permuted = TextRetriever.fit(sequences_with(known, items))
    assert told > 1.3 * validation_ndcg(permuted, data, split)


def sequences_with(interactions, items):
    from dataclasses import replace

    return replace(interactions, items=items)


def test_an_encoder_speaks_where_there_are_no_words(data, split):
    known = data.first(split.train_end)
    graph = build_kg(data, split.train_end, KGConfig(behaviour=False))
    makers = sorted({m for row in data.items["maker"] for m in row})
    x = np.zeros((data.num_items, len(makers)), np.float32)
    for item, row in enumerate(data.items["maker"]):
        x[item, [makers.index(m) for m in row]] = 1.0
    graph["item"].x = torch.from_numpy(x)
    # Every item the same text, but for a number of its own.
    mute = data.items[["title"]].assign(title=[f"{i}" for i in range(data.num_items)])
    spoken = TextRetriever.fit(sequences_with(known, mute), graph)
    silent = TextRetriever.fit(sequences_with(known, mute))
    assert spoken.whitening is not None
    assert validation_ndcg(spoken, data, split) > 1.3 * validation_ndcg(silent, data, split)


def test_a_text_that_is_an_items_has_its_vector(data, split):
    retriever = TextRetriever.fit(data.first(split.train_end))
    texts = item_texts(data.items)
    np.testing.assert_allclose(retriever.embed_texts(texts[:5]), retriever.vectors[:5], atol=1e-6)
    odd = retriever.embed_texts(["", "nothing known", "x" * 50_000])
    assert np.isfinite(odd).all()


def test_an_empty_history_has_no_opinion(data, split):
    retriever = TextRetriever.fit(data.first(split.train_end))
    assert not retriever.score([np.zeros(0, np.int64)]).any()
    assert retriever.score([]).shape == (0, data.num_items)


def test_only_the_latest_items_count(data, split):
    retriever = TextRetriever.fit(data.first(split.train_end))
    long = np.arange(LATEST + 5) % data.num_items
    np.testing.assert_array_equal(retriever.score([long]), retriever.score([long[5:]]))
    assert latest_items([np.array([4, 7])])[0].tolist() == [7, 4] + [-1] * (LATEST - 2)


def test_examples_are_every_prediction():
    x = sequences([0, 1, 2], [2], [1, 0])
    examples = Examples(x)
    assert examples.target.tolist() == [1, 2, 0]
    latest = examples.latest(torch.arange(3))
    assert latest[:, :3].tolist() == [[0, -1, -1], [1, 0, -1], [1, -1, -1]]
    assert latest.shape == (3, LATEST)


def test_examples_of_long_and_of_no_histories():
    long = Examples(sequences(list(range(LATEST + 3)), [0]))
    index = torch.tensor([LATEST + 1])
    assert long.target[index].tolist() == [LATEST + 2]
    assert long.latest(index)[0].tolist() == list(range(LATEST + 1, 1, -1))
    assert len(Examples(sequences([0], [1]))) == 0


def test_what_is_held_back_is_not_seen():
    end = np.array([2, 2])
    one, two = (
        TextRetriever.fit(sequences(*rows).first(end)).vectors
        for rows in (([0, 1, 2, 3], [0, 2, 1, 3]), ([0, 1, 3, 2], [0, 2, 3, 1]))
    )
    np.testing.assert_array_equal(one, two)


def test_a_sampled_loss_is_that_of_the_whole_catalogue(monkeypatch):
    """Over many samples, the sum over a pool estimates the sum over all items."""
    rng, num_items = np.random.default_rng(0), 300
    share = torch.from_numpy(rng.dirichlet(np.ones(num_items))).float()
    values = torch.from_numpy(rng.normal(size=num_items)).float().exp()
    monkeypatch.setattr(training, "FULL", 100)
    monkeypatch.setattr(training, "SAMPLED", 60)
    sums = []
    for _ in range(3000):
        target = torch.from_numpy(
            rng.choice(num_items, 20, p=share.double() / share.double().sum())
        )
        pool = Pool.draw(target, share, rng)
        assert torch.isin(target, pool.items).all()
        sums.append(float((values[pool.items] / pool.log_chance.exp()).sum()))
    assert np.mean(sums) == pytest.approx(float(values.sum()), rel=0.02)


def test_a_large_catalogue_is_sampled_and_learned_as_well(data, split, monkeypatch):
    known = data.first(split.train_end)
    whole = validation_ndcg(TextRetriever.fit(known), data, split)
    monkeypatch.setattr(training, "FULL", 10)
    monkeypatch.setattr(training, "SAMPLED", 10)
    assert validation_ndcg(TextRetriever.fit(known), data, split) > 0.85 * whole


def test_it_is_fused_by_default_only_where_texts_differ(data):
    assert fused_systems(RetrievalConfig(), data)[-1] == "text"
    for titles in ([None] * data.num_items, ["same"] * data.num_items):
        mute = sequences_with(data, data.items[["title"]].assign(title=titles))
        assert "text" not in fused_systems(RetrievalConfig(), mute)
        with pytest.raises(DataError, match="text needs items whose titles"):
            check_data(RetrievalConfig(systems=["text"]), mute)


def test_a_broken_file_is_named(data, split, tmp_path):
    retriever = TextRetriever.fit(data.first(split.train_end))
    retriever.save(tmp_path)
    from lkgrag.utils.files import read_safetensors, write_safetensors

    tensors = read_safetensors(tmp_path / "text.safetensors")
    del tensors["age"]
    write_safetensors(tmp_path / "text.safetensors", tensors)
    with pytest.raises(LkgragError, match=r"text\.safetensors: no text towers"):
        TextRetriever.load(tmp_path)


def test_some_of_the_features(data):
    texts = item_texts(data.items)
    words = Words.of(texts)
    features = Features.of(words.rows(texts), None)
    towers = TextTowers(len(words), 0).eval()
    index = torch.tensor([7, 0, 7, 3])
    with torch.no_grad():
        np.testing.assert_allclose(
            towers.items(features[index]), towers.items(features)[index], atol=1e-6
        )


def test_a_seed_gives_the_same_towers(data, split):
    known, texts = data.first(split.train_end), item_texts(data.items)
    words = Words.of(texts)
    features = Features.of(words.rows(texts), None)
    state = torch.random.get_rng_state()
    one, two, other = (
        train_towers(known, features, len(words), seed, torch.device("cpu")).state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert not torch.equal(one["words"], other["words"])
