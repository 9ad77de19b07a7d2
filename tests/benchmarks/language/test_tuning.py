"""Fine-tuning of the encoder: its lower states, its pairs, and that it learns and goes on."""

import numpy as np
import pytest
import torch
from helpers.tiny_bert import bert_model, bert_tokenizer

from benchmarks.language import tuning
from benchmarks.language.tuning import Pairs, split_encoder, tune
from lkgrag.testing import planted
from lkgrag.text.encoders import HiddenStateEncoder

#: Items that follow one another in the planted data have other texts than all else.
TEXTS = [f"{'abcdef'[n % 6] * 3} item {n}" for n in range(24)]


def load(*_):
    return HiddenStateEncoder("bert", bert_model(layers=4), bert_tokenizer())


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(tuning, "load_encoder", load)
    for name, value in {"BATCH": 32, "STEPS": 30, "EVERY": 10, "RATE": 3e-3}.items():
        monkeypatch.setattr(tuning, name, value)


def test_lower_and_upper_layers_give_the_encoders_vectors():
    lower, upper = split_encoder(TEXTS, trained=True, seed=0)
    with torch.no_grad():
        vectors = upper.eval()(*lower.batch(torch.arange(len(TEXTS))))
    np.testing.assert_allclose(vectors.numpy(), load().encode(TEXTS), atol=2e-2)


def test_random_weights_are_others_and_follow_the_seed():
    same, again, other = (split_encoder(TEXTS, trained=False, seed=s)[0].states for s in (0, 0, 1))
    assert torch.equal(same, again)
    assert not torch.allclose(same.float(), other.float(), atol=1e-2)
    known = split_encoder(TEXTS, trained=True, seed=0)[0].states
    assert not torch.allclose(same.float(), known.float(), atol=1e-2)


def test_pairs_are_of_one_user_and_in_order():
    x = planted(40, 24)
    first, target = Pairs.of(x).draw(np.random.default_rng(0))
    near = {
        (int(row[i]), int(row[j]))
        for row in np.split(x.item, x.indptr[1:-1])
        for j in range(1, len(row))
        for i in range(max(0, j - tuning.REACH), j)
    }
    assert {*zip(first.tolist(), target.tolist(), strict=True)} <= near


def test_tuning_learns_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    x = planted(40, 24)
    whole = tune(x, TEXTS, tmp_path / "whole.safetensors", 0)
    store, steps = tuning._store, []

    def stop(path, upper, optimizer, step):
        store(path, upper, optimizer, step)
        steps.append(step)
        if steps == [10]:
            raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "_store", stop)
    with pytest.raises(KeyboardInterrupt):
        tune(x, TEXTS, tmp_path / "parts.safetensors", 0)
    parts = tune(x, TEXTS, tmp_path / "parts.safetensors", 0)
    assert steps == [10, 20, 30]
    np.testing.assert_allclose(parts, whole, atol=1e-4)

    def fit(vectors):
        """How much nearer pairs are than chance."""
        unit = vectors - vectors.mean(0)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        cosine = unit @ unit.T
        rng = np.random.default_rng(1)
        pairs = [Pairs.of(x).draw(rng) for _ in range(20)]
        return np.mean([cosine[a, b].mean() for a, b in pairs]) - cosine.mean()

    assert fit(whole) > fit(load().encode(TEXTS))
