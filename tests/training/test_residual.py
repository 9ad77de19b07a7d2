"""What the language model is to add to: scores out of fold, fixed, without a gradient."""

import numpy as np
import pytest
import torch
from helpers.rankers import Planted
from torch.nn import functional as F

from lkgrag.config import TrainingConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError
from lkgrag.ranker.batch import RankerOutput
from lkgrag.training.out_of_fold import OutOfFoldScores
from lkgrag.training.planning import measure_lengths
from lkgrag.training.residual import FixedTerms


def scores(count, slots, seed=0):
    rng = np.random.default_rng(seed)
    prior = np.log(rng.dirichlet(np.ones(slots), count)).astype(np.float32)
    a, b = rng.random((2, count)).astype(np.float32)
    return OutOfFoldScores(rng.normal(size=(count, slots)).astype(np.float32), prior, a, b)


def test_the_terms_are_weighed_list_by_list_and_padding_counts_nothing():
    found = scores(3, 4)
    found.scorer[1, 3], found.prior[1, 3] = 0.0, -np.inf
    both, prior = FixedTerms.of(found, ["scorer", "prior"]), FixedTerms.of(found, ["prior"])
    assert both.total[1, 3] == 0
    np.testing.assert_allclose(
        both.total[2], found.a[2] * found.scorer[2] + found.b[2] * found.prior[2], rtol=1e-5
    )
    np.testing.assert_allclose(prior.total[0], found.b[0] * found.prior[0], rtol=1e-5)


def test_the_loss_is_that_of_lm_and_terms_and_only_the_lm_learns():
    fixed = FixedTerms.of(scores(5, 4), ["scorer", "prior"])
    lm = torch.randn(2, 4, requires_grad=True)
    own = torch.randn(2, 4, requires_grad=True)
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1, 3] = False
    output = RankerOutput(own * 7, lm, own, own, own.flatten())
    index, target = np.array([4, 1]), torch.tensor([2, 0])
    out = fixed.put_into(output, index, mask, lm_share=0.5)
    expected = (lm.detach() + torch.as_tensor(fixed.total[index])).masked_fill(~mask, -torch.inf)
    assert torch.equal(out.scores, expected)
    loss = F.cross_entropy(out.scores, target, reduction="sum") + out.scorer.sum()
    loss.backward()
    assert own.grad is None
    full = torch.softmax(expected, 1) - F.one_hot(target, 4)
    torch.testing.assert_close(lm.grad, 0.5 * full)


def train(toy, **options):
    given = {"batch_size": 6, "epochs": 1, "distill": 0.0, "aux_scorer": 0.0, "fused_lm": 1.0}
    given |= options
    ranker = toy.ranker()
    ranker.scorer.requires_grad_(False)
    ranker.fusion.requires_grad_(False)
    return ranker, toy.trainer(ranker, TrainingConfig(**given))


def test_the_trainer_uses_the_terms_of_its_lists():
    toy = Planted(num_users=20, seed=3)
    found = scores(len(toy.queries), toy.queries.candidate_items.shape[1])
    ranker, trainer = train(toy)
    before = {n: p.clone() for n, p in ranker.named_parameters() if not p.requires_grad}
    first = trainer.batches[0]
    curve = trainer.fit(fixed=FixedTerms.of(found, ["scorer", "prior"]))
    # The scorer's column is the loss of its scores out of fold.
    target = torch.as_tensor(toy.queries.target[first])
    expected = F.cross_entropy(torch.as_tensor(found.scorer[first]), target)
    assert curve[0]["loss_scorer"] == pytest.approx(float(expected), abs=1e-5)
    frozen = dict(ranker.named_parameters())
    assert all(torch.equal(value, frozen[name]) for name, value in before.items())
    _, plain = train(toy)
    assert plain.fit()[0]["loss"] != curve[0]["loss"]


def test_words_are_left_out_of_whole_prompts():
    toy = Planted(num_users=20, seed=3)
    ranker, _ = train(toy)
    batch, _ = toy.batch(slice(0, 6))
    salience = torch.randn(len(batch.paths))
    whole = ranker.words(batch, salience)
    batch.wordless = torch.tensor([True, False, True, False, False, True])
    part = ranker.words(batch, salience)
    shown = torch.unique(whole.worded[:, 0])
    assert set(part.worded[:, 0].tolist()) == set(shown.tolist()) - {0, 2, 5}
    assert bool((part.bundle[[0, 2, 5]] == -1).all())
    # Bundles still name the batch's own paths, and the other prompts are as before.
    keep = torch.isin(whole.worded[:, 0], torch.tensor([1, 3, 4]))
    assert torch.equal(part.worded, whole.worded[keep])
    assert set(part.bundle_path.tolist()) < set(whole.bundle_path.tolist())
    assert torch.isin(batch.paths.sample[part.bundle_path], torch.tensor([1, 3, 4])).all()
    torch.testing.assert_close(
        part.bundle_salience(salience), whole.bundle_salience(salience)[keep]
    )
    n = int(whole.lengths[1])
    assert torch.equal(part.input_ids[1, :n], whole.input_ids[1, :n])


def test_a_share_of_the_prompts_is_wordless_in_training_alone(monkeypatch):
    toy = Planted(num_users=30, seed=3)
    seen = []
    ranker, trainer = train(toy, wordless=0.5, held_out=0.2, check_every=1, epochs=2)
    forward = type(ranker).forward

    def spy(self, batch):
        seen.append((self.training, batch.wordless))
        return forward(self, batch)

    monkeypatch.setattr(type(ranker), "forward", spy)
    trainer.fit()
    drawn = torch.cat([wordless for training, wordless in seen if training])
    assert 0.2 < float(drawn.float().mean()) < 0.8
    assert all(wordless is None for training, wordless in seen if not training)


def test_terms_are_needed():
    with pytest.raises(ConfigError, match=r"training\.fuse=\[\]"):
        load_config({"training.residual": "true", "training.fuse": "[]"})


def test_a_step_has_as_many_prompts_as_its_tokens_allow():
    toy = Planted(num_users=30, seed=3)
    ranker, trainer = train(toy, batch_tokens=700, epochs=2, held_out=0.2)
    lengths = measure_lengths(ranker.prompter, trainer.graphs, toy.queries)
    order = torch.arange(toy.queries.candidate_items.shape[1]).repeat(len(toy.queries), 1)
    exact = ranker.prompter(toy.graph(toy.queries), None, order).lengths
    np.testing.assert_array_equal(lengths, exact.numpy())
    sums = [int(lengths[batch].sum()) for batch in trainer.batches]
    assert max(sums) <= 700 < sum(sums)
    assert len({len(batch) for batch in trainer.batches}) > 1
    curve = trainer.fit()
    assert len(curve) == len(trainer.batches)
