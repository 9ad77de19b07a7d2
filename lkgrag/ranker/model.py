"""The ranker: a language model, a path scorer and the retriever's prior, fused.

One prompt a user, one forward pass, no token generated: the ranking is read off the logits, and the
paths that the scorer found most salient for this user stand in the prompt as words.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lkgrag.ranker.batch import RankerBatch, RankerOutput
from lkgrag.ranker.fusion import Fusion, centre
from lkgrag.scorer.base import PathScorer, check_finite, score_paths

if TYPE_CHECKING:
    from lkgrag.llm import LMScorer
    from lkgrag.prompt import BasePrompter, TokenBatch
    from lkgrag.serving.context import Context
    from lkgrag.serving.recommendation import Recommendation


class Ranker(nn.Module):
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
        #: The weights (a, b) that training left, before their refit on validation.
        self.learned = (self.fusion.a.item(), self.fusion.b.item())
        #: Graph, retriever and catalogue; needed to serve, not to train.
        self.context: Context | None = None

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
        """The prompts of a batch as tokens; which paths are worded follows the salience."""
        assert self.prompter is not None
        device = batch.paths.sample.device
        tokens = self.prompter(
            batch.paths.to("cpu"), salience.detach().cpu(), batch.order.cpu(), batch.generator
        )
        return tokens.to(device)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the ranker and all that it needs to serve anyone, but the base language model.

        Args:
            folder: new, empty, or one that holds a ranker, which is replaced.

        Raises:
            LkgragError: the folder cannot be written, or holds anything else.
            ValueError: the ranker has no context.
        """
        from lkgrag.serving.saving import save

        save(self, Path(folder))

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], device: torch.device | str | None = None
    ) -> Ranker:
        """Read what :meth:`save_pretrained` wrote.

        Args:
            folder: the ``ranker`` folder of a run.
            device: a GPU if there is one by default.

        Raises:
            LkgragError: not a saved ranker, of a newer format, or a file is broken.
        """
        from lkgrag.serving.saving import load

        return load(Path(folder), device)

    def recommend(
        self,
        history: Sequence[object],
        candidates: Sequence[object] | None = None,
        k: int = 10,
        explain: bool = True,
        ratings: Sequence[float] | None = None,
    ) -> Recommendation:
        """Rank items for anyone, known or not.

        Args:
            history: items by id or exact title, oldest first; may be empty.
            candidates: rank these; what the retriever proposes by default.
            k: items to return.
            explain: word the paths.
            ratings: of the history items, where there are some.

        Returns:
            At most ``k`` items, best first; fewer where there are not so many candidates.

        Raises:
            DataError: an item is unknown (the nearest ones are named), the list of candidates is empty,
                or there is not one rating an item of the history.
            ConfigError: ``k`` is below 1 or larger than the catalogue.
            ValueError: the ranker was not loaded by :meth:`from_pretrained`, so that it has no graph,
                retriever and catalogue.
        """
        from lkgrag.serving.ranking import rank
        from lkgrag.serving.requests import request_for

        return rank(self, [request_for(self, history, candidates, ratings)], k, explain)[0]

    def recommend_users(
        self,
        users: Sequence[str],
        candidates: Sequence[object] | None = None,
        k: int = 10,
        explain: bool = True,
    ) -> list[Recommendation]:
        """Rank items for users of the data, from all that they have chosen.

        Args:
            users: by id.
            candidates: rank these for everyone; what the retriever proposes to each by default.
            k: items to return to each.
            explain: word the paths.

        Returns:
            One ranking a user, in their order.

        Raises:
            DataError: a user or an item is unknown (the nearest ones are named), or the list of
                candidates is empty.
            ConfigError: ``k`` is below 1 or larger than the catalogue.
            ValueError: as of :meth:`recommend`.
        """
        from lkgrag.serving.ranking import rank
        from lkgrag.serving.requests import request_of_user

        requests = [request_of_user(self, str(user), candidates) for user in users]
        return rank(self, requests, k, explain)

    def users(self) -> list[str]:
        """Ids of the users of the data."""
        from lkgrag.serving.context import context_of

        return list(context_of(self).users)
