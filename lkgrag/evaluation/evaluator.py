"""From scores to ranks: every system on the events of both splits, with newly fitted fusion weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.evaluation.metrics import pessimistic_rank
from lkgrag.evaluation.protocol import SplitResult, sample_events
from lkgrag.evaluation.result import Evaluation
from lkgrag.evaluation.score_cache import ScoreCache, measure_time
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.fusion_weights import TermLists, cross_fit_weights, fit_weights
from lkgrag.ranker.scoring import LM, SCORER, Predictions, score_queries
from lkgrag.retrieval.ranks import MISSED
from lkgrag.utils.progress import bar, forecast

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from lkgrag.config import EvaluationConfig
    from lkgrag.data import Interactions, Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.prompt.order import CandidateOrder
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import CandidateLists

#: Most validation lists without the language model's scores, on which scorer and prior are weighed, too.
UNREAD_LISTS = 20_000


@dataclass(frozen=True)
class Evaluator:
    """Ranks the events of both splits with the language model, the scorer and the ranker.

    Only events whose target is a candidate are scored: every system that reorders candidates misses all
    others. The evaluator does not change the model.

    Attributes:
        interactions: the sequences.
        graph: the graph of all training interactions, and its paths.
        config: limits the events, and gives the prompts of a forward pass.
        order: of the candidates; its seed also draws events and folds.
        history: most history items of a query, ``paths.history``.
        accelerator: its processes share the work; None means one process.
        scores: stores the scores of each split for a later attempt; None stores none.
        advice: how to do without the language model's work, for the line that says what it costs.
    """

    interactions: Interactions
    graph: GraphPaths
    config: EvaluationConfig
    order: CandidateOrder
    history: int
    accelerator: Accelerator | None = None
    scores: ScoreCache | None = None
    advice: str = ""

    def evaluate(
        self,
        model: RankerModel,
        lists: dict[str, CandidateLists],
        users: NDArray[np.int64] | None = None,
        start: tuple[float, float] | None = None,
    ) -> Evaluation:
        """Evaluate a model on the candidate lists of both splits.

        Validation fits the weights of the fusion, if all users are evaluated. For some users only, the
        weights of the model are used.

        Args:
            model: a trained model; it is not changed.
            lists: the candidate lists of ``val`` and ``test``.
            users: evaluate only these user indices, int64; all by default.
            start: the weights if there is no list to fit on; the model's weights by default.

        Returns:
            The ranks of both splits, and the fitted weights.
        """
        chosen = {split: self.choose_lists(split, part, users) for split, part in lists.items()}
        queries = {
            split: part[part.retrieved].queries(self.interactions, self.history)
            for split, part in chosen.items()
        }
        scored, seconds = {}, 0.0
        for split in queries:
            scored[split], took = self._score(model, split, queries[split])
            seconds += took
        fusion = copy.deepcopy(model.fusion)
        weights = np.tile(model.fusion.weights, (len(queries["val"]), 1))
        if users is None:
            unread = self._choose_unread(lists["val"], chosen["val"])
            unread_queries = unread.queries(self.interactions, self.history)
            unread_scores, _ = self._score(
                model.without_lm(), "val without language model", unread_queries
            )
            terms = _join_terms((queries["val"], unread_queries), (scored["val"], unread_scores))
            initial = model.fusion.weights if start is None else start
            weights = self._refit(fusion, terms, initial)[: len(queries["val"])]
        fused = {
            "val": scored["val"].fused(weights[:, 0], weights[:, 1]),
            "test": scored["test"].fused(*fusion.weights),
        }
        results = {
            split: _add_reorderings(
                rank_stage_one(split, chosen[split]),
                scored[split],
                queries[split],
                fused[split],
                has_lm=model.lm is not None,
            )
            for split in lists
        }
        tokens = np.concatenate([s.tokens for s in scored.values()])
        return Evaluation(
            val=results["val"],
            test=results["test"],
            fusion=fusion,
            tokens=float(tokens.mean()) if len(tokens) else 0.0,
            prompts=len(tokens),
            seconds=seconds,
            queries=queries,
            scored=scored,
        )

    def choose_lists(
        self, split: str, lists: CandidateLists, users: NDArray[np.int64] | None = None
    ) -> CandidateLists:
        """The lists to evaluate: all, or those of random users within ``evaluation.max_events``.

        ``evaluation.max_val_events``, if not negative, is the limit of validation instead.

        Args:
            split: ``val`` or ``test``.
            lists: all lists of the split.
            users: keep only these user indices, int64; all by default.
        """
        if users is not None:
            lists = lists[np.isin(lists.events.user, users)]
        limit = self.config.max_events
        if split == "val" and self.config.max_val_events >= 0:
            limit = self.config.max_val_events
        return lists[sample_events(lists.events.user, lists.retrieved, limit, self.order.seed)]

    def _choose_unread(self, val: CandidateLists, read: CandidateLists) -> CandidateLists:
        """Validation lists that hold their target, of users whose lists the language model does not read."""
        rest = val[val.retrieved & ~np.isin(val.events.user, read.events.user)]
        return rest[sample_events(rest.events.user, rest.retrieved, UNREAD_LISTS, self.order.seed)]

    def _score(self, model: RankerModel, name: str, queries: Queries) -> tuple[Predictions, float]:
        """Scores of queries and the seconds that they took; read from the cache if they are there."""

        def score() -> Predictions:
            with bar(f"rank {name}") as update:
                return score_queries(
                    model,
                    self.graph,
                    queries,
                    self.order,
                    self.config.batch_size,
                    self.accelerator,
                    forecast(update, "prompts", self.advice) if model.lm else update,
                )

        cache = self.scores if model.lm is not None else None
        if cache is None:
            return measure_time(score)
        return cache.load_or_score(name, model, queries, score, self.accelerator)

    def _refit(
        self, fusion: Fusion, lists: TermLists, start: tuple[float, float]
    ) -> NDArray[np.float64]:
        """Set the fusion's weights to those fitted on all lists.

        Returns:
            Cross-fitted weights, float64 ``[E, 2]``: each row is fitted without the user of its list.
        """
        cross_fitted = cross_fit_weights(lists, start, self.order.seed, fusion.terms)
        fusion.set(*fit_weights(lists, start, self.order.seed, fusion.terms))
        return cross_fitted


def _join_terms(
    queries: tuple[Queries, Queries], scored: tuple[Predictions, Predictions]
) -> TermLists:
    """The lists that the language model read, followed by the lists that it did not read."""
    target = np.concatenate([q.target for q in queries])
    return TermLists(
        terms=np.concatenate([s.terms for s in scored], axis=1),
        mask=np.concatenate([s.mask for s in scored]),
        target=target,
        user=np.concatenate([q.user for q in queries]),
        read=np.arange(len(target)) < len(queries[0]),
    )


def rank_stage_one(split: str, lists: CandidateLists) -> SplitResult:
    """The result of a split with the ranks of stage one's systems, which the lists hold."""
    ranks = {name: np.where(r >= MISSED, 0, r) for name, r in lists.ranks.items()}
    return SplitResult(
        split=split,
        user=lists.events.user,
        position=lists.events.position,
        target=lists.events.target,
        num_candidates=(lists.items >= 0).sum(1),
        retrieved=lists.retrieved,
        depth=lists.items.shape[1],
        ranks=ranks,
    )


def _add_reorderings(
    result: SplitResult,
    scored: Predictions,
    queries: Queries,
    fused: NDArray[np.float64],
    has_lm: bool,
) -> SplitResult:
    """Add the ranks of the language model, the scorer and the ranker."""
    terms = {"scorer": scored.term(SCORER), "ranker": fused}
    if has_lm:
        terms["lm"] = scored.term(LM)
    ranks = {}
    for name, scores in terms.items():
        rank = np.zeros(len(result), np.int64)
        rank[result.retrieved] = pessimistic_rank(scores, queries.target, scored.mask)
        ranks[name] = rank
    return result.with_ranks(ranks)
