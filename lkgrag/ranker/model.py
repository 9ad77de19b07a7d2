"""The ranker: a language model, a path scorer and the retriever's prior, fused.

One prompt a user, one forward pass, no token generated: the ranking is read off the logits, and the
paths that the scorer found most salient for this user stand in the prompt as words.
"""

from __future__ import annotations

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
    """LM + scorer + prior.

    Args:
        lm: reads candidate scores off a prompt; None ranks without a language model.
        scorer: says which paths matter.
        prompter: puts prompts in words and tokens; None with ``lm=None``.
        fusion: the weights of the terms.
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
        """Where the ranker is, and its batches must be."""
        return self.fusion.raw.device

    def forward(self, batch: RankerBatch) -> RankerOutput:
        """Score the candidates of ``B`` prompts.

        Everything trainable is called in here, so that wrappers which watch a module's forward pass
        (DistributedDataParallel) see every parameter used.
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
            lm=centre(lm, mask),
            scorer=centre(candidate, mask),
            prior=prior.masked_fill(~mask, 0.0),
            salience=salience,
            words=tokens,
        )

    def words(self, batch: RankerBatch, salience: Tensor) -> TokenBatch:
        """The prompts of a batch as tokens; which paths are worded follows the salience.

        Raises:
            ValueError: there is no language model, so nothing is worded.
        """
        if self.prompter is None:
            raise ValueError("a ranker without a language model words nothing")
        device = batch.paths.sample.device
        tokens = self.prompter(
            batch.paths.to("cpu"), salience.detach().cpu(), batch.order.cpu(), batch.generator
        )
        return tokens.to(device)

    def without_lm(self) -> RankerModel:
        """The same scorer and fusion without the language model."""
        return RankerModel(None, self.scorer, None, self.fusion)
