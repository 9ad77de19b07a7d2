"""The ranker: a language model, a path scorer and the retriever's prior, fused.

Each user takes one prompt and one forward pass. No token is generated: the ranking is read off the
model's output. The prompt words the paths that the scorer found most salient for this user.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lkgrag.ranker.batch import RankerBatch, RankerOutput
from lkgrag.ranker.fusion import Fusion, centre
from lkgrag.scorer.base import PathScorer, check_finite, score_paths

if TYPE_CHECKING:
    from lkgrag.llm import LMScorer
    from lkgrag.prompt import BasePrompter, TokenBatch


class RankerModel(nn.Module):
    """Language model, path scorer and prior as one module.

    Args:
        lm: scores candidates from a prompt; None ranks without a language model.
        scorer: gives each path its salience, and each candidate a score.
        prompter: turns prompts into words and tokens; None with ``lm=None``.
        fusion: the weights of the terms; both are 1 by default.

    Raises:
        ValueError: only one of ``lm`` and ``prompter`` is given.
    """

    def __init__(
        self,
        lm: LMScorer | None,
        scorer: PathScorer,
        prompter: BasePrompter | None,
        fusion: Fusion | None = None,
    ) -> None:
        super().__init__()
        if (lm is None) != (prompter is None):
            raise ValueError("lm and prompter go together: give both or neither")
        self.lm = lm
        self.scorer = scorer
        self.prompter = prompter
        self.fusion = fusion or Fusion()

    @property
    def device(self) -> torch.device:
        """The device of the ranker, where its batches must be."""
        return self.fusion.raw.device

    def forward(self, batch: RankerBatch) -> RankerOutput:
        """Score the candidates of ``B`` prompts.

        All trainable parts are called here, because wrappers such as DistributedDataParallel watch
        this forward pass.

        Raises:
            ConfigError: a salience or a score of the scorer is NaN or infinite.
        """
        paths = batch.paths
        mask = paths.candidate_mask
        scores = score_paths(self.scorer, batch.data, paths)
        check_finite(self.scorer, scores, paths)
        salience, candidate = scores.salience.float(), scores.candidate.float()
        tokens = None
        if self.lm is None or self.prompter is None:
            lm = torch.zeros_like(candidate)
        else:
            tokens = self.words(batch, salience)
            lm = self.lm(tokens, tokens.bundle_salience(salience)).float()
        prior = paths.prior.float()
        fused_lm = lm if batch.lm_share == 1.0 else torch.lerp(lm.detach(), lm, batch.lm_share)
        return RankerOutput(
            scores=self.fusion(fused_lm, candidate, prior, mask),
            lm=lm if tokens is None else centre(lm, mask),
            scorer=centre(candidate, mask),
            prior=prior.masked_fill(~mask, 0.0),
            salience=salience,
            words=tokens,
        )

    def words(self, batch: RankerBatch, salience: Tensor) -> TokenBatch:
        """The prompts of a batch as tokens; the salience decides which paths are worded.

        Args:
            batch: ``B`` prompts.
            salience: float ``[P]``, of the batch's paths.

        Raises:
            ValueError: the ranker has no language model, so it words nothing.
        """
        if self.prompter is None:
            raise ValueError("a ranker without a language model words nothing")
        device = batch.paths.sample.device
        paths, salience = batch.paths.to("cpu"), salience.detach().cpu()
        shown = None
        if batch.wordless is not None:
            # A prompter of any kind words no path that it is not given.
            shown = (~batch.wordless.cpu()[paths.sample]).nonzero().squeeze(1)
            paths, salience = paths.select(shown), salience[shown]
        tokens = self.prompter(paths, salience, batch.order.cpu(), batch.generator)
        if shown is not None:
            tokens = replace(tokens, bundle_path=shown[tokens.bundle_path])
        return tokens.to(device)

    def without_lm(self) -> RankerModel:
        """A ranker with the same scorer and fusion, without the language model."""
        return RankerModel(None, self.scorer, None, self.fusion)
