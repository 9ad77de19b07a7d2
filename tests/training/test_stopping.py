"""Held-out users: who they are, which weights are kept, and when training stops."""

import math

import numpy as np
import pytest
import torch
from helpers.rankers import Planted

from lkgrag.config import TrainingConfig
from lkgrag.training.checkpoint import Checkpoint, named_trainable_parameters
from lkgrag.training.stopping import HELD_OUT, EarlyStopping, hold_out


def test_all_lists_of_some_users_are_held_out():
    user = np.array([3, 3, 5, 7, 7, 7, 9, -1, -1, 11])
    out = hold_out(user, 0.3, seed=1)
    for one in (3, 5, 7, 9, 11):
        assert len(np.unique(out[user == one])) == 1
    # Seven users, of which two unknown ones.
    assert len(np.unique(user[out & (user >= 0)])) + int(out[user < 0].sum()) == 2
    np.testing.assert_array_equal(out, hold_out(user, 0.3, seed=1))
    assert any((hold_out(user, 0.3, seed=s) != out).any() for s in range(2, 6))
    assert not hold_out(user, 0.0, seed=1).any()
    assert not hold_out(np.array([4, 4]), 0.5, seed=1).any()
    assert hold_out(np.array([4, 5]), 0.9, seed=1).sum() == 1


def test_a_curve_says_when_training_is_over():
    stopping = EarlyStopping(every=2, patience=2)
    assert [stopping.is_due(n, 5) for n in range(1, 6)] == [False, True, False, True, True]

    def curve(*losses):
        return [{"loss": 1.0}, *({HELD_OUT: loss} for loss in losses)]

    assert not stopping.is_over([])
    assert not stopping.is_over(curve(3, 2, 2.5))
    assert stopping.is_over(curve(3, 2, 2.5, 2.1))
    assert not stopping.is_over(curve(3, 2, 2.5, 1.9))
    assert stopping.is_over(curve(2, math.nan, math.inf))


@pytest.fixture(scope="module")
def toy():
    return Planted(num_users=40, seed=2)


def training(toy, tmp_path, **options):
    given = {
        "batch_size": 6,
        "epochs": 3,
        "lr": 1e-2,
        "held_out": 0.2,
        "check_every": 2,
        "checkpoint_every": 1,
        "fused_lm": 1.0,
    }
    given |= {"distill": 0.0} | options
    ranker = toy.ranker()
    trainer = toy.trainer(ranker, TrainingConfig(**given), Checkpoint(tmp_path, "key"))
    return ranker, trainer


def weights(ranker):
    return {name: p.detach().clone() for name, p in named_trainable_parameters(ranker).items()}


def test_no_held_out_list_is_trained_on_and_the_best_weights_stay(toy, tmp_path):
    ranker, trainer = training(toy, tmp_path)
    held = set(trainer.held_out.tolist())
    assert 0 < len(held) < len(toy.queries)
    assert not held & set(np.concatenate(trainer.batches).tolist())
    curve = trainer.fit()
    losses = [row[HELD_OUT] for row in curve if HELD_OUT in row]
    assert next(row["step"] for row in curve if HELD_OUT in row) == 2
    # The weights that the ranker is left with give the lowest loss of all looks.
    ranker.eval()
    assert trainer._check(ranker) == pytest.approx(min(losses), abs=1e-6)


def test_training_stops_once_the_loss_only_rises(toy, tmp_path):
    # So large a rate spoils the weights at once.
    _, trainer = training(toy, tmp_path, lr=30.0, head_lr=30.0, epochs=20, patience=2)
    curve = trainer.fit()
    assert len(curve) < len(trainer.batches)
    # A finished training is not taken up again, and has the same weights.
    ranker, again = training(toy, tmp_path, lr=30.0, head_lr=30.0, epochs=20, patience=2)
    assert again.fit() == curve
    stored = again.stopping.best
    assert all(torch.equal(stored[n], p) for n, p in weights(ranker).items())


def test_a_resumed_training_ends_with_the_same_weights(toy, tmp_path):
    whole, trainer = training(toy, tmp_path / "whole", patience=99)
    curve = trainer.fit()
    _broken, trainer = training(toy, tmp_path / "broken", patience=99)

    def stop(done, steps):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(stop)
    resumed, trainer = training(toy, tmp_path / "broken", patience=99)
    assert trainer.has_checkpoint
    assert trainer.fit() == curve
    expected = weights(whole)
    assert all(torch.equal(expected[n], p) for n, p in weights(resumed).items())
