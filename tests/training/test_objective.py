import math

import pytest
import torch

from lkgrag.config import TrainingConfig
from lkgrag.ranker.batch import RankerOutput
from lkgrag.training.objective import losses, rate, soft_cross_entropy, total_loss, zero_loss

MASK = torch.tensor([[True, True, False]])


def test_soft_cross_entropy_by_hand():
    teacher = torch.tensor([[math.log(3.0), 0.0, 99.0]])
    found = soft_cross_entropy(torch.zeros(1, 3), teacher, MASK)
    assert found.item() == pytest.approx(math.log(2))
    own = soft_cross_entropy(teacher, teacher, MASK).item()
    assert own == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_the_teacher_gets_no_gradient_from_what_it_teaches():
    lm = torch.zeros(1, 3, requires_grad=True)
    scorer = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    ones, target = torch.ones(1), torch.tensor([1])
    output = RankerOutput(scores=lm, lm=lm, scorer=scorer, prior=lm, salience=lm)
    parts = losses(output, target, MASK, ones, distill=1.0)
    parts["taught"].backward()
    assert scorer.grad is None
    assert lm.grad[0, 0] < 0 < lm.grad[0, 1]
    config = TrainingConfig(aux_lm=2.0, aux_scorer=0.0)
    plain = losses(output, target, MASK, ones, distill=0.0)
    assert total_loss(plain, config).item() == pytest.approx(3 * math.log(2))


def test_a_prompt_of_weight_0_counts_nothing():
    scores = torch.tensor([[1.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    mask, target = MASK.repeat(2, 1), torch.tensor([0, 1])

    def output(scores):
        return RankerOutput(scores, scores, scores, scores, scores)

    both = losses(output(scores), target, mask, torch.tensor([1.0, 0.0]))
    one = losses(output(scores[:1]), target[:1], MASK, torch.ones(1))
    assert both["fused"].item() == pytest.approx(one["fused"].item())


def test_the_rate_rises_and_falls():
    rates = [rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[-1] == pytest.approx(0.1, abs=0.02)


def test_what_a_batch_leaves_out_has_a_gradient_of_0():
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3, 4))
    # As the fusion holds a weight of 0.
    silent = torch.nn.Parameter(torch.tensor([-math.inf]))
    loss = used.sum() + zero_loss([used, unused, silent])
    assert loss.item() == 2.0
    loss.backward()
    assert torch.equal(used.grad, torch.ones(2))
    assert torch.equal(unused.grad, torch.zeros(3, 4))
    assert torch.equal(silent.grad, torch.zeros(1))
