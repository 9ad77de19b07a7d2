from dataclasses import replace

import numpy as np
import pytest
import torch

from lkgrag.config import DataConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.errors import LkgragError, RunError
from lkgrag.retrieval import (
    LRURec,
    LRURecOptions,
    LRURecRetriever,
    ValidationEvents,
    fit_lrurec,
)
from lkgrag.retrieval.lrurec import training as lru_training
from lkgrag.retrieval.lrurec.spectral import SCALE, spectral_embeddings
from lkgrag.retrieval.lrurec.training import FLOOR, batches, learning_rate, sampled_loss
from lkgrag.testing import planted


def options(**changes):
    small = {"hidden": 8, "blocks": 1, "max_len": 5, "batch_size": 16, "epochs": 4}
    config = RetrievalConfig(**{**small, "lr": 0.01, "dropout": 0.2, **changes})
    return LRURecOptions.of(config)


@pytest.fixture(scope="module")
def data():
    """Training interactions, and validation events."""
    x = planted(60, 24)
    split = make_split(x, DataConfig())
    return x.first(split.train_end), ValidationEvents.of(x, split.val)


def equal(one, two):
    a, b = one.model.state_dict(), two.model.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_every_label_is_learned_once_an_epoch():
    sequences = [np.arange(23) + 100 * u for u in range(7)] + [np.array([900]), np.array([], int)]
    for epoch in range(20):
        rng = np.random.default_rng(epoch)
        windows = [w for b in batches(sequences, options(batch_size=4), rng) for w in b]
        labels = np.sort(np.concatenate([w[1:] for w in windows]))
        expected = np.sort(np.concatenate([s[1:] for s in sequences]))
        np.testing.assert_array_equal(labels, expected)
        assert all(2 <= len(w) <= 6 for w in windows)
        assert all((np.diff(w) == 1).all() for w in windows)


def test_the_windows_of_long_histories_move():
    def starts(epoch):
        rng = np.random.default_rng(epoch)
        return {int(w[0]) for b in batches([np.arange(40)], options(), rng) for w in b}

    assert len(set().union(*(starts(e) for e in range(30)))) > 20


def test_training_learns_the_planted_order(data):
    x, val = data
    fitted, progress = fit_lrurec(x, options(epochs=8), 0, val=val)
    assert progress.loss[-1] < progress.loss[0] - 0.2
    assert progress.best == max(progress.curve) == progress.curve[progress.best_epoch - 1]
    assert not fitted.model.training


def test_a_seed_decides_everything(data):
    x, _ = data
    torch.manual_seed(1)
    one, _ = fit_lrurec(x, options(), 3, epochs=2)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    two, _ = fit_lrurec(x, options(), 3, epochs=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    other, _ = fit_lrurec(x, options(), 4, epochs=2)
    assert equal(one, two)
    assert not equal(one, other)


def test_patience_stops_and_keeps_the_best(data, monkeypatch):
    x, val = data
    values = iter([0.1, 0.3, 0.2, 0.25, 0.1, 0.9])
    monkeypatch.setattr(lru_training, "ndcg", lambda ranks, k: next(values))
    config = options(patience=3, epochs=40)
    stopped, progress = fit_lrurec(x, config, 0, val=val)
    assert (progress.epoch, progress.best_epoch, progress.best) == (5, 2, 0.3)
    two, _ = fit_lrurec(x, config, 0, epochs=2)
    assert equal(stopped, two)


def test_a_sample_of_validation_events_keeps_histories_and_targets_together(data):
    _, val = data
    part = val.sample(20, 0)
    pairs = [(tuple(h), t) for h, t in zip(val.histories, val.target, strict=True)]
    drawn = [(tuple(h), t) for h, t in zip(part.histories, part.target, strict=True)]
    assert len(part) == 20 < len(val)
    places = [pairs.index(pair) for pair in drawn]
    assert places == sorted(set(places))
    assert val.sample(20, 1).target.tolist() != part.target.tolist()
    assert val.sample(len(val), 0) is val


def test_only_the_sample_decides_when_to_stop(data, monkeypatch):
    x, val = data
    monkeypatch.setattr(lru_training, "JUDGED", 20)
    _, progress = fit_lrurec(x, options(epochs=2), 0, val=val)
    _, expected = fit_lrurec(x, options(epochs=2), 0, val=val.sample(20, 0))
    assert progress.curve == expected.curve
    monkeypatch.setattr(lru_training, "JUDGED", len(val))
    _, whole = fit_lrurec(x, options(epochs=2), 0, val=val)
    assert whole.curve != progress.curve


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_resumes_to_the_same_weights(data, tmp_path, monkeypatch, after):
    x, val = data
    whole, progress = fit_lrurec(x, options(), 0, val=val)
    path = tmp_path / "state.safetensors"
    store, calls = lru_training.Training.store, []

    def dying(run, target):
        store(run, target)
        calls.append(run.progress.epoch)
        if len(calls) == after:
            raise KilledError

    monkeypatch.setattr(lru_training.Training, "store", dying)
    with pytest.raises(KilledError):
        fit_lrurec(x, options(), 0, val=val, checkpoint=path)
    monkeypatch.setattr(lru_training.Training, "store", store)
    resumed, again = fit_lrurec(x, options(), 0, val=val, checkpoint=path)
    assert equal(whole, resumed)
    assert again == progress
    # A finished run only reads its end.
    monkeypatch.setattr(lru_training.Training, "train_epoch", pytest.fail)
    read, _ = fit_lrurec(x, options(), 0, val=val, checkpoint=path)
    assert equal(whole, read)


def test_a_checkpoint_of_other_options_or_data_is_refused(data, tmp_path):
    x, _ = data
    path = tmp_path / "state.safetensors"
    fit_lrurec(x, options(), 0, epochs=1, checkpoint=path)
    with pytest.raises(RunError, match="other options or data"):
        fit_lrurec(x, options(lr=0.5), 0, epochs=2, checkpoint=path)
    with pytest.raises(RunError, match="other options or data"):
        fit_lrurec(x.first(np.diff(x.indptr) - 1), options(), 0, epochs=2, checkpoint=path)
    other = replace(x, item=(x.item + 1) % x.num_items)
    with pytest.raises(RunError, match="other options or data"):
        fit_lrurec(other, options(), 0, epochs=2, checkpoint=path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(LkgragError, match=r"contents differ from their SHA-256.*delete it"):
        fit_lrurec(x, options(), 0, epochs=2, checkpoint=path)
    path.write_bytes(b"broken")
    with pytest.raises(LkgragError, match="delete it"):
        fit_lrurec(x, options(), 0, epochs=2, checkpoint=path)


def untrained(max_len=5):
    torch.manual_seed(0)
    model = LRURec(num_items=9, width=8, blocks=2, dropout=0.3)
    torch.nn.init.normal_(model.bias)
    return LRURecRetriever(model, max_len)


def test_scores_do_not_depend_on_the_batch():
    retriever = untrained()
    past = [np.array(h, np.int64) for h in ([1], [], [2, 3, 4], [5, 6, 7, 8, 0, 1, 2])]
    together = retriever.score(past)
    assert together.shape == (4, 9)
    assert together.dtype == np.float32
    for row, history in enumerate(past):
        np.testing.assert_allclose(together[row], retriever.score([history])[0], atol=1e-5)
    np.testing.assert_array_equal(together[1], retriever.model.bias.detach().numpy())
    assert retriever.score([]).shape == (0, 9)
    assert retriever.score([np.zeros(0, np.int64)]).shape == (1, 9)


def test_only_the_latest_items_are_read():
    retriever = untrained(max_len=3)
    long, short = np.array([8, 7, 1, 2, 3]), np.array([1, 2, 3])
    np.testing.assert_array_equal(retriever.score([long]), retriever.score([short]))


def test_evidence_is_a_log_probability():
    evidence = untrained().evidence([np.array([1, 2])])
    np.testing.assert_allclose(np.exp(evidence).sum(1), 1, rtol=1e-5)


def test_save_and_load_give_equal_scores(tmp_path):
    retriever = untrained()
    retriever.save(tmp_path)
    loaded = LRURecRetriever.load(tmp_path)
    past = [np.array([1, 2, 3]), np.array([4])]
    np.testing.assert_array_equal(loaded.score(past), retriever.score(past))
    assert equal(loaded, retriever)


def test_embeddings_start_from_what_goes_together():
    # Two groups of items that never meet.
    rng = np.random.default_rng(0)
    sequences = [rng.permutation(8) + 8 * (u % 2) for u in range(40)]
    start = spectral_embeddings(sequences, 17, 4)
    assert start.shape == (17, 4)
    assert start.std() == pytest.approx(SCALE, rel=1e-4)
    affinity = start @ start.T
    assert affinity[:8, :8].mean() > 10 * abs(affinity[:8, 8:16].mean())
    assert np.abs(start[16]).max() < 1e-5
    np.testing.assert_array_equal(start, spectral_embeddings(sequences, 17, 4))
    # The signs do not depend on the processor.
    assert (start[np.abs(start).argmax(0), np.arange(4)] > 0).all()


@pytest.mark.parametrize("sequences", [[], [np.array([1])], [np.array([1, 1])]])
def test_embeddings_start_at_zero_without_pairs(sequences):
    assert not spectral_embeddings(sequences, 3, 8).any()


def test_more_columns_than_items_are_zero():
    start = spectral_embeddings([np.array([0, 1, 2])], 3, 8)
    assert np.isfinite(start).all()
    assert not start[:, 2:].any()


def test_the_learning_rate_rises_then_falls():
    config = options(epochs=10, lr=0.5)
    rates = [learning_rate(config, done) for done in np.linspace(0, 10, 101)]
    assert rates[0] < 0.05
    assert 0.45 < max(rates) <= 0.5
    assert rates[-1] == pytest.approx(0.5 * FLOOR)
    assert learning_rate(config, 30) == rates[-1]


def test_all_other_items_drawn_is_the_full_softmax():
    torch.manual_seed(0)
    model = LRURec(12, 4, 1, 0.0)
    states, labels = torch.randn(7, 4), torch.randint(12, (7,))
    full = torch.nn.functional.cross_entropy(model.logits(states), labels)
    assert torch.allclose(sampled_loss(model, states, labels, torch.arange(12)), full, atol=1e-6)


def test_drawn_items_estimate_the_full_softmax():
    """The estimate of the sum over all items is right on average, whether the label was drawn or not."""
    torch.manual_seed(0)
    model = LRURec(40, 4, 1, 0.0)
    with torch.no_grad():
        model.bias.normal_()
    states, labels = torch.randn(1, 4), torch.tensor([3])
    mine = model.logits(states)[0, 3]
    sums = []
    for _ in range(4000):
        drawn = torch.randperm(40)[:10]
        sums.append((sampled_loss(model, states, labels, drawn) + mine).exp().detach())
    full = model.logits(states).exp().sum()
    assert abs(torch.stack(sums).mean() / full - 1) < 0.02


def test_a_sample_trains_too():
    x = planted()
    x = x.first(np.diff(x.indptr) - 1)
    sampled = LRURecOptions.of(RetrievalConfig(epochs=3, sampled=30))
    _, progress = fit_lrurec(x, sampled, 0)
    assert progress.loss[-1] < progress.loss[0]
    _, again = fit_lrurec(x, sampled, 0)
    assert again.loss == progress.loss
