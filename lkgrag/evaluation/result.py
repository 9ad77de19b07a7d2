"""The result of an evaluation: ranks, losses, figures, and the main differences between systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from lkgrag.evaluation.beyond import lists_of
from lkgrag.evaluation.metrics import HEADLINE, pessimistic_rank
from lkgrag.evaluation.protocol import POPULATIONS, RANDOM, Metrics, SplitResult, nest
from lkgrag.evaluation.significance import Difference
from lkgrag.ranker.scoring import LM, PRIOR, SCORER, Predictions
from lkgrag.utils.layout import WITHOUT_TEXT
from lkgrag.utils.standard_errors import standard_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data import Queries
    from lkgrag.ranker.fusion import Fusion, TermWeights
    from lkgrag.ranker.fusion_weights import CrossFittedWeights, FittedWeights


def rank_targets(
    result: SplitResult,
    queries: Queries,
    scored: Predictions,
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    """The rank of each event's target by some scores, int64 ``[E]``; 0 if it is no candidate.

    Args:
        result: of the split, which says whose target is a candidate.
        queries: the ``Q`` prompts.
        scored: their predictions, which say where candidates stand.
        scores: float ``[Q, C]``.
    """
    rank = np.zeros(len(result), np.int64)
    rank[result.retrieved] = pessimistic_rank(scores, queries.target, scored.mask)
    return rank


@dataclass(frozen=True)
class Evaluation:
    """The ranks of every system on both splits, and the scores behind them.

    Attributes:
        val: ranks on validation; the ranker's weights for a list are fitted on other users.
        test: ranks on test; the ranker's weights are fitted on all of validation.
        fusion: a fusion with the chosen weights, for the model that serves.
        weights: the weights fitted on validation, with and without the language model.
        of_lists: for each prompt of validation, weights that were fitted on other users.
        tokens: mean tokens of a prompt.
        prompts: number of scored prompts.
        seconds: wall-clock seconds of the forward passes.
        queries: the prompts of each split.
        scored: their scores, tokens and attention.
        read: of each split bool ``[Q]``, the prompts that the language model read; all without one.
    """

    val: SplitResult
    test: SplitResult
    fusion: Fusion
    weights: FittedWeights
    of_lists: CrossFittedWeights
    tokens: float
    prompts: int
    seconds: float
    queries: dict[str, Queries]
    scored: dict[str, Predictions]
    read: dict[str, NDArray[np.bool_]]

    @property
    def has_lm(self) -> bool:
        """Whether a language model ranked."""
        return "lm" in self.test.ranks

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
            For each term of the fused score alone, float64 ``[E]``; NaN if the target is no candidate, and for
            the language model also if it did not read the prompt. Chance is the logarithm of the number of candidates.
        """
        result = self.result_of(split)
        scored, queries = self.scored[split], self.queries[split]
        terms = {"scorer": SCORER, "prior": PRIOR}
        if self.has_lm:
            terms = {"lm": LM, **terms}
        out = {}
        for name, index in terms.items():
            score = scored.term(index)
            loss = logsumexp(score, axis=1) - score[np.arange(len(score)), queries.target]
            out[name] = np.full(len(result), np.nan)
            out[name][result.retrieved] = loss
        if self.has_lm:
            out["lm"][~result.covered("lm")] = np.nan
        return out

    def cross_entropies(self) -> dict[str, dict[str, dict[str, float]]]:
        """``{split: {term: {mean, se, chance, prompts}}}`` over events whose target is a candidate.

        ``se`` is the standard error over users, because a user's events are not independent. A split
        without such an event is left out.
        """
        out: dict[str, dict[str, dict[str, float]]] = {}
        for split in ("val", "test"):
            result = self.result_of(split)
            for term, loss in self.losses(split).items():
                scored = ~np.isnan(loss)
                if not scored.any():
                    continue
                out.setdefault(split, {})[term] = {
                    "mean": float(loss[scored].mean()),
                    "se": standard_error(loss[scored], result.user[scored]),
                    "chance": float(np.log(result.num_candidates[scored]).mean()),
                    "prompts": int(scored.sum()),
                }
        return out

    def listed(self, split: str) -> NDArray[np.int64]:
        """The events whose rankings :meth:`lists` gives, int64 indices into the split's."""
        return np.flatnonzero(self.result_of(split).retrieved)[self.read[split]]

    def lists(self, split: str, seed: int | None = None) -> dict[str, NDArray[np.int64]]:
        """The first items of each system's ranking of the prompts' candidates.

        Only events whose target is a candidate have a prompt, and only those count that the language model read.

        Args:
            split: ``val`` or ``test``.
            seed: of the order of ``random``; None leaves it out.

        Returns:
            For each system, ``retriever`` first, item indices, int64 ``[E, k]``; -1 pads shorter lists. The events
            are those of :meth:`listed`.
        """
        read = self.read[split]
        queries, scored = self.queries[split][np.flatnonzero(read)], self.scored[split][read]
        scores: dict[str, NDArray[np.floating]] = {
            "retriever": queries.prior,
            "scorer": scored.term(SCORER),
        }
        if self.has_lm:
            scores["lm"] = scored.term(LM)
            if self.fusion.terms:
                scores["without_lm"] = scored.fused(self.weights.without_lm)
        if seed is not None:
            draw = np.random.default_rng([seed, 0x11575])
            scores[RANDOM] = draw.random(queries.candidate_items.shape)
        scores["ranker"] = scored.fused(self.fusion.weights)
        return lists_of(scores, queries.candidate_items)

    def measure_marginal(self, resamples: int, seed: int) -> list[tuple[str, str, str, Difference]]:
        """What the language model adds to scorer and prior.

        Both systems have weights of their own, fitted alike on validation, whether the language model earned its
        weight or not: on validation those of other users. Only lists that it read count.

        Args:
            resamples: of the bootstrap.
            seed: of its draws.

        Returns:
            ``(split, metric, population, difference)``; empty without a language model, or without other terms.
        """
        if not self.has_lm or not self.fusion.terms:
            return []
        weights: dict[
            str, tuple[TermWeights | NDArray[np.float64], TermWeights | NDArray[np.float64]]
        ] = {
            "val": (self.of_lists.with_lm, self.of_lists.control),
            "test": (self.weights.with_lm, self.weights.control),
        }
        out = []
        for result in self.results:
            scored, queries = self.scored[result.split], self.queries[result.split]
            with_lm, without_lm = weights[result.split]
            ranks = {
                "with_lm": rank_targets(result, queries, scored, scored.fused(with_lm)),
                "without_lm": rank_targets(result, queries, scored, scored.fused(without_lm)),
            }
            both = result.with_ranks(ranks, result.read, ranks)
            for population in POPULATIONS:
                if (both.mask(population) & both.covered("with_lm")).any():
                    difference = both.compare(
                        "with_lm", "without_lm", HEADLINE, population, resamples, seed
                    )
                    out.append((result.split, HEADLINE, population, difference))
        return out

    def measure_text(self, resamples: int, seed: int) -> list[tuple[str, str, str, Difference]]:
        """What the retriever ``text`` adds to the fused retriever.

        Both have weights of their own, fitted alike on held-back training events.

        Args:
            resamples: of the bootstrap.
            seed: of its draws.

        Returns:
            ``(split, metric, population, difference)`` over all events; empty without ``text``.
        """
        return [
            (
                result.split,
                HEADLINE,
                "all",
                result.compare("retriever", WITHOUT_TEXT, HEADLINE, "all", resamples, seed),
            )
            for result in self.results
            if WITHOUT_TEXT in result.ranks and len(result)
        ]

    def metrics(self, ks: list[int]) -> Metrics:
        """``{system: {split: {population: {metric: mean}}}}``.

        Args:
            ks: cut-offs; that of :data:`~lkgrag.evaluation.metrics.HEADLINE`, which tables and verdicts show, is
                always among the figures.
        """
        shown = int(HEADLINE.partition("@")[2])
        return nest(self.results, sorted({*ks, shown}))

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
            if system not in result.ranks:
                continue
            if not (result.mask(population) & result.covered(system)).any():
                continue
            difference = result.compare(system, other, metric, population, resamples, seed)
            out.append((split, system, other, metric, population, difference))
        return out
