"""The result of an evaluation: ranks, losses, figures, and the main differences between systems."""

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
    """The ranks of every system on both splits, and the scores behind them.

    Attributes:
        val: ranks on validation; the ranker's weights for a list are fitted on other users.
        test: ranks on test; the ranker's weights are fitted on all of validation.
        fusion: a fusion with the fitted weights, for the model that serves.
        tokens: mean tokens of a prompt.
        prompts: number of scored prompts.
        seconds: wall-clock seconds of the forward passes.
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
        """The results of both splits, validation first."""
        return [self.val, self.test]

    def result_of(self, split: str) -> SplitResult:
        """The result of a split, ``val`` or ``test``."""
        return {"val": self.val, "test": self.test}[split]

    def losses(self, split: str) -> dict[str, NDArray[np.float64]]:
        """Negative log-probability of each event's target among the candidates, in nats.

        Returns:
            For each term of the fused score alone, float64 ``[E]``; NaN if the target is no candidate.
            Chance is the logarithm of the number of candidates.
        """
        result = self.result_of(split)
        scored, queries = self.scored[split], self.queries[split]
        terms = {"scorer": SCORER, "prior": PRIOR}
        if scored.has_lm:
            terms = {"lm": LM, **terms}
        out = {}
        for name, index in terms.items():
            score = scored.term(index)
            loss = logsumexp(score, axis=1) - score[np.arange(len(score)), queries.target]
            out[name] = np.full(len(result), np.nan)
            out[name][result.retrieved] = loss
        return out

    def cross_entropies(self) -> dict[str, dict[str, dict[str, float]]]:
        """``{split: {term: {mean, se, chance, prompts}}}`` over events whose target is a candidate.

        ``se`` is the standard error over users, because a user's events are not independent. A split
        without such an event is left out.
        """
        out: dict[str, dict[str, dict[str, float]]] = {}
        for split in ("val", "test"):
            result = self.result_of(split)
            prompts = int(result.retrieved.sum())
            if not prompts:
                continue
            chance = float(np.log(result.num_candidates[result.retrieved]).mean())
            out[split] = {
                term: {
                    "mean": float(np.nanmean(loss)),
                    "se": standard_error(loss[result.retrieved], result.user[result.retrieved]),
                    "chance": chance,
                    "prompts": prompts,
                }
                for term, loss in self.losses(split).items()
            }
        return out

    def lists(self, split: str) -> dict[str, NDArray[np.int64]]:
        """The first items of each system's ranking of the prompts' candidates.

        Only events whose target is a candidate have a prompt.

        Returns:
            For each system, ``retriever`` first, item indices, int64 ``[E, k]``; -1 pads shorter lists.
        """
        queries, scored = self.queries[split], self.scored[split]
        scores: dict[str, NDArray[np.floating]] = {
            "retriever": queries.prior,
            "scorer": scored.term(SCORER),
        }
        if scored.has_lm:
            scores["lm"] = scored.term(LM)
        scores["ranker"] = scored.fused(*self.fusion.weights)
        return lists_of(scores, queries.candidate_items)

    def metrics(self, ks: list[int]) -> Metrics:
        """``{system: {split: {population: {metric: mean}}}}``."""
        return nest(self.results, ks)

    def differences(
        self, resamples: int, seed: int
    ) -> list[tuple[str, str, str, str, str, Difference]]:
        """``(split, system, other, metric, population, difference)`` of the main comparisons.

        A comparison is left out if a system did not rank, or the population has no event.

        Args:
            resamples: of the bootstrap.
            seed: of its draws.
        """
        comparisons = [
            ("test", "ranker", "retriever", HEADLINE, "all"),
            ("test", "ranker", "retriever", HEADLINE, "retrieved"),
            ("val", "ranker", "retriever", HEADLINE, "all"),
            ("val", "scorer", "random", HEADLINE, "retrieved"),
            ("val", "lm", "random", HEADLINE, "retrieved"),
            ("test", "scorer", "random", HEADLINE, "retrieved"),
            ("test", "lm", "random", HEADLINE, "retrieved"),
        ]
        out = []
        for split, system, other, metric, population in comparisons:
            result = self.result_of(split)
            if system not in result.ranks or not result.mask(population).any():
                continue
            difference = result.compare(system, other, metric, population, resamples, seed)
            out.append((split, system, other, metric, population, difference))
        return out
