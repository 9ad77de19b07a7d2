"""What an evaluation gives: ranks, losses, figures, and the differences that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from lkgrag.evaluation.beyond import lists_of
from lkgrag.evaluation.metrics import HEADLINE
from lkgrag.evaluation.protocol import Metrics, SplitResult, nest
from lkgrag.evaluation.significance import Difference, standard_error
from lkgrag.ranker.scoring import LM, PRIOR, SCORER, Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data import Queries
    from lkgrag.ranker.fusion import Fusion


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation gives: the ranks of every system, and what they were computed from.

    Attributes:
        val: ranks on validation; the ranker's with weights fitted on other users.
        test: ranks on test; the ranker's with the weights fitted on all of validation.
        fusion: with the refitted weights; whoever serves the model takes them over.
        tokens: mean tokens of a prompt.
        prompts: prompts that the language model read.
        seconds: that the forward passes took, all processes together side by side.
        queries: the prompts of each split.
        scored: their scores, tokens and attention.
    """

    val: SplitResult
    test: SplitResult
    fusion: Fusion
    tokens: float
    prompts: int
    seconds: float
    queries: dict[str, Queries]
    scored: dict[str, Predictions]

    @property
    def results(self) -> list[SplitResult]:
        """Of both splits, validation first."""
        return [self.val, self.test]

    def result_of(self, split: str) -> SplitResult:
        """The ranks on a split, ``val`` or ``test``."""
        return {"val": self.val, "test": self.test}[split]

    def losses(self, split: str) -> dict[str, NDArray[np.float64]]:
        """Negative log-probability of each event's target among the candidates, in nats.

        Returns:
            By the terms of the fused score, each alone: float64 ``[E]``, NaN where the target is no
            candidate. Chance is the logarithm of the number of candidates.
        """
        result = self.result_of(split)
        scored, queries = self.scored[split], self.queries[split]
        terms = {"scorer": SCORER, "prior": PRIOR}
        if scored.tokens.any():
            terms = {"lm": LM, **terms}
        out = {}
        for name, index in terms.items():
            score = scored.term(index)
            loss = logsumexp(score, axis=1) - score[np.arange(len(score)), queries.target]
            out[name] = np.full(len(result), np.nan)
            out[name][result.retrieved] = loss
        return out

    def cross_entropies(self) -> dict[str, dict[str, dict[str, float]]]:
        """``{split: {term: {mean, se, chance, prompts}}}``, over events whose target is a candidate.

        ``se`` is the standard error over users, whose events are not independent.
        """
        out: dict[str, dict[str, dict[str, float]]] = {}
        for split in ("val", "test"):
            result = self.result_of(split)
            number = int(result.retrieved.sum())
            if not number:
                continue
            chance = float(np.log(result.num_candidates[result.retrieved]).mean())
            out[split] = {
                term: {
                    "mean": float(np.nanmean(loss)),
                    "se": standard_error(loss[result.retrieved], result.user[result.retrieved]),
                    "chance": chance,
                    "prompts": number,
                }
                for term, loss in self.losses(split).items()
            }
        return out

    def lists(self, split: str) -> dict[str, NDArray[np.int64]]:
        """What each system puts first among the candidates of the prompts.

        Only events whose target is a candidate have a prompt.

        Returns:
            By system, ``retriever`` first: int64 ``[E, k]``, items, -1 where a list is shorter.
        """
        queries, scored = self.queries[split], self.scored[split]
        scores: dict[str, NDArray[np.floating]] = {
            "retriever": queries.prior,
            "scorer": scored.term(SCORER),
        }
        if scored.tokens.any():
            scores["lm"] = scored.term(LM)
        scores["ranker"] = scored.fused(*self.fusion.weights)
        return lists_of(scores, queries.candidate_items)

    def metrics(self, ks: list[int]) -> Metrics:
        """``{system: {split: {population: {metric: mean}}}}``."""
        return nest(self.results, ks)

    def differences(
        self, resamples: int, seed: int
    ) -> list[tuple[str, str, str, str, str, Difference]]:
        """``(split, system, other, metric, population, difference)`` of the comparisons that matter."""
        wanted = [
            ("test", "ranker", "retriever", HEADLINE, "all"),
            ("test", "ranker", "retriever", HEADLINE, "retrieved"),
            ("val", "ranker", "retriever", HEADLINE, "all"),
            ("val", "scorer", "random", HEADLINE, "retrieved"),
            ("val", "lm", "random", HEADLINE, "retrieved"),
            ("test", "scorer", "random", HEADLINE, "retrieved"),
            ("test", "lm", "random", HEADLINE, "retrieved"),
        ]
        out = []
        for split, system, other, metric, population in wanted:
            result = self.result_of(split)
            if system not in result.ranks or not result.mask(population).any():
                continue
            found = result.compare(system, other, metric, population, resamples, seed)
            out.append((split, system, other, metric, population, found))
        return out
