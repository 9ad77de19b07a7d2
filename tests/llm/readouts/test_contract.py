"""Every readout of this package keeps the contract."""

import sys

import pytest
import torch

from lkgrag.llm.readouts.candidates import CandidateReadout
from lkgrag.llm.readouts.letters import LetterReadout
from lkgrag.llm.readouts.resolver import REGISTERED, resolve_readout
from lkgrag.testing import ReadoutTests


class TestCandidates(ReadoutTests):
    readout = CandidateReadout


class TestLetters(ReadoutTests):
    readout = LetterReadout


def test_every_registered_readout_has_its_suite():
    suites = [x for x in vars(sys.modules[__name__]).values() if isinstance(x, type)]
    tested = {vars(suite).get("readout") for suite in suites}
    assert {resolve_readout(name) for name in REGISTERED} <= tested


class HoldsTheModel(CandidateReadout):
    def __init__(self, model, config, seed):
        super().__init__(model, config, seed)
        self.whole = model


class DrawsItsHead(CandidateReadout):
    def __init__(self, model, config, seed):
        super().__init__(model, config, seed)
        torch.nn.init.normal_(self.head.weight)


class SeesTheBatch(CandidateReadout):
    def features(self, hidden, tokens):
        return super().features(hidden, tokens) - hidden.float().mean()


class SeesThePlace(CandidateReadout):
    def features(self, hidden, tokens):
        return super().features(hidden, tokens) * (1 + tokens.read[..., None])


class Idle(CandidateReadout):
    def __init__(self, model, config, seed):
        super().__init__(model, config, seed)
        self.idle = torch.nn.Parameter(torch.ones(3))


class Halved(CandidateReadout):
    def forward(self, hidden, tokens):
        return super().forward(hidden, tokens).to(hidden.dtype)


class AddsAConstant(CandidateReadout):
    def forward(self, hidden, tokens):
        return super().forward(hidden, tokens) + 1.0


class ForgetsItsState(CandidateReadout):
    def features(self, hidden, tokens):
        return super().features(hidden, tokens) * self.made

    def __init__(self, model, config, seed):
        super().__init__(model, config, seed)
        self.made = 1.0 + seed


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (HoldsTheModel, "test_the_language_model_is_no_part_of_it"),
        (DrawsItsHead, "test_seed_decides"),
        (SeesTheBatch, "test_prompts_do_not_see_one_another"),
        (SeesThePlace, "test_order_of_candidates_does_not_matter"),
        (Idle, "test_every_parameter_learns"),
        (Halved, "test_half_precision_gives_single_precision_scores"),
        (AddsAConstant, "test_a_linear_readout_is_its_heads_product"),
    ],
)
def test_the_suite_sees_a_fault(fault, test):
    suite = type("Suite", (ReadoutTests,), {"readout": fault})()
    with pytest.raises(AssertionError):
        getattr(suite, test)()


def test_the_suite_sees_a_state_that_is_not_saved(tmp_path):
    suite = type("Suite", (ReadoutTests,), {"readout": ForgetsItsState})()
    with pytest.raises(AssertionError):
        suite.test_state_survives(tmp_path)
