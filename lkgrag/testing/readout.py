"""The suite of a readout.

In a test file of yours::

    from lkgrag.testing import ReadoutTests

    class TestMyReadout(ReadoutTests):
        readout = MyReadout

Every test is of the contract in :mod:`lkgrag.llm.readouts.base`, on three toy prompts and a random Llama of
two layers.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

from lkgrag.config import LLMConfig, PromptConfig, load_config
from lkgrag.llm import LinearReadout, LMScorer, Readout
from lkgrag.llm.readouts.base import Attention
from lkgrag.llm.readouts.resolver import resolve_readout
from lkgrag.prompt import Prompter, PromptLayout, TokenBatch
from lkgrag.testing.llm import tiny_llama
from lkgrag.testing.prompter import toy_batch, toy_tokenizer

if TYPE_CHECKING:
    from torch import Tensor


class ReadoutTests:
    """Inherit, and set ``readout``.

    Attributes:
        readout: the class under test; of a module, not of a function.
        tolerance: of scores that must agree in another order or batch.
    """

    readout: ClassVar[type[Readout]]
    tolerance: ClassVar[float] = 1e-4

    @property
    def name(self) -> str:
        """The word of ``llm.readout``."""
        # A test file that is run by its path may be no module of that name to others.
        assert self.readout.__module__ in sys.modules
        return f"{self.readout.__module__}:{self.readout.__qualname__}"

    def build(self, seed: int = 0, half: bool = False, **options: Any) -> LMScorer:
        """A language model with an adapter that has an effect, and the readout."""
        model = tiny_llama(len(toy_tokenizer()))
        config = LLMConfig(readout=self.name, **options)
        scorer = LMScorer(model.bfloat16() if half else model, config, seed).eval()
        # A fresh adapter is the identity.
        generator = torch.Generator().manual_seed(2)
        for name, parameter in scorer.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, 0, 0.3, generator=generator)
        return scorer

    def prompts(self, order: Tensor | None = None, rows: Tensor | None = None) -> TokenBatch:
        """The toy prompts in the readout's layout."""
        paths = toy_batch()[1]
        rows = torch.arange(paths.num_prompts) if rows is None else rows
        order = torch.arange(paths.num_candidates).repeat(len(rows), 1) if order is None else order
        return _prompter(self.readout.layout)(paths.prompts(rows), None, order)

    def same(self, a: Tensor, b: Tensor) -> None:
        """Fail unless the tensors agree within ``tolerance``."""
        torch.testing.assert_close(a, b, rtol=self.tolerance, atol=self.tolerance)

    def test_an_option_names_it(self) -> None:
        """A run takes it as ``llm.readout``."""
        assert load_config({"llm.readout": self.name}).llm.readout == self.name
        assert resolve_readout(self.name) is self.readout

    @torch.no_grad()
    def test_scores_are_finite_and_differ(self) -> None:
        """One float32 score a candidate; a readout that says the same of everyone ranks nothing."""
        tokens = self.prompts()
        scores = self.build()(tokens)
        assert scores.dtype == torch.float32
        assert scores.shape == tokens.read.shape
        assert scores.isfinite().all()
        assert scores[0].std() > 1e-4

    @torch.no_grad()
    def test_half_precision_gives_single_precision_scores(self) -> None:
        """The model may compute in bfloat16."""
        scores = self.build(half=True)(self.prompts())
        assert scores.dtype == torch.float32
        assert scores.isfinite().all()

    @torch.no_grad()
    def test_prompts_do_not_see_one_another(self) -> None:
        """A batch equals each prompt alone, whatever the padding."""
        scorer = self.build()
        whole = scorer(self.prompts())
        for row in range(len(whole)):
            self.same(scorer(self.prompts(rows=torch.tensor([row])))[0], whole[row])

    @torch.no_grad()
    def test_order_of_candidates_does_not_matter(self) -> None:
        """Where candidates do not see one another, the order in which they stand moves no score."""
        if self.readout.attention is Attention.CAUSAL:
            pytest.skip("later candidates see earlier ones")
        scorer, whole = self.build(), None
        for shift in range(toy_batch()[1].num_candidates):
            order = torch.arange(toy_batch()[1].num_candidates).roll(shift).repeat(3, 1)
            scores = scorer(self.prompts(order))
            whole = scores if whole is None else whole
            self.same(scores, whole)

    @pytest.mark.parametrize("attention", ["blocks", "sdpa"])
    @torch.no_grad()
    def test_attention_implementations_agree(self, attention: str) -> None:
        """Scores do not depend on how attention is computed."""
        tokens = self.prompts()
        self.same(self.build(attention=attention)(tokens), self.build(attention="eager")(tokens))

    def test_every_parameter_learns(self) -> None:
        """Those of the readout and those of the adapter have a finite gradient that is not zero."""
        scorer = self.build().train()
        scores = scorer(self.prompts())
        torch.nn.functional.cross_entropy(scores[:1], torch.tensor([1])).backward()
        for name, parameter in scorer.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.abs().max() > 0, name

    def test_the_language_model_is_no_part_of_it(self) -> None:
        """Else it would be saved twice, and trained."""
        scorer = self.build()
        of_model = {id(tensor) for tensor in [*scorer.model.parameters(), *scorer.model.buffers()]}
        of_readout = {*scorer.readout.parameters(), *scorer.readout.buffers()}
        assert not of_model & {id(tensor) for tensor in of_readout}

    def test_seed_decides(self) -> None:
        """The same seed gives the same weights, and the global generators are left alone."""
        torch.manual_seed(0)
        np.random.seed(0)
        expected = torch.rand(1), np.random.rand()
        torch.manual_seed(0)
        np.random.seed(0)
        one = self.build(seed=3).readout.state_dict()
        assert (torch.rand(1), np.random.rand()) == expected
        torch.rand(5)
        two = self.build(seed=3).readout.state_dict()
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)

    @torch.no_grad()
    def test_state_survives(self, tmp_path: Path) -> None:
        """Scores are bit-equal after saving and loading, as a run does both."""
        tokens = self.prompts()
        first, second = self.build(seed=0), self.build(seed=1)
        for parameter in first.readout.parameters():
            parameter.add_(0.01)
        first.save(tmp_path / "saved")
        second.load(tmp_path / "saved")
        assert torch.equal(second(tokens), first(tokens))

    @torch.no_grad()
    def test_input_is_not_changed(self) -> None:
        """A readout leaves hidden states and prompts as they were."""
        scorer, tokens = self.build(), self.prompts()
        hidden = scorer.hidden(tokens)
        before = hidden.clone()
        scorer.readout(hidden, tokens)
        assert torch.equal(hidden, before)
        assert all(
            torch.equal(value, vars(self.prompts())[name]) for name, value in vars(tokens).items()
        )

    @torch.no_grad()
    def test_a_linear_readout_is_its_heads_product(self) -> None:
        """The probe fits the head to the features, of which the scores must be the product."""
        scorer, tokens = self.build(), self.prompts()
        if not isinstance(scorer.readout, LinearReadout):
            pytest.skip("no linear readout")
        hidden = scorer.hidden(tokens)
        features = scorer.readout.features(hidden, tokens)
        assert features.dtype == torch.float32
        assert features.shape == (*tokens.read.shape, hidden.shape[-1])
        product = features @ scorer.readout.head.weight[0]
        filled = tokens.read >= 0
        self.same(scorer.readout(hidden, tokens)[filled], product[filled])


@functools.cache
def _prompter(layout: PromptLayout) -> Prompter:
    """A prompter of the toy paths, built once a layout."""
    data, paths = toy_batch()
    return Prompter(toy_tokenizer(), data, PromptConfig(), layout).fit([paths])
