"""From scores to ranks: every system on the events of both splits, with newly fitted fusion weights."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.evaluation.protocol import SplitResult, sample_events
from lkgrag.evaluation.result import Evaluation, rank_targets
from lkgrag.evaluation.score_cache import ScoreCache, measure_time
from lkgrag.ranker.fusion_weights import (
    CrossFittedWeights,
    FittedWeights,
    TermLists,
    cross_fit_weights,
    fit_weights,
)
from lkgrag.ranker.scoring import LM, SCORER, Predictions, score_queries
from lkgrag.retrieval.ranks import MISSED
from lkgrag.utils.progress import bar, forecast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accelerate import Accelerator
    from numpy.typing import NDArray

    from lkgrag.config import EvaluationConfig
    from lkgrag.data import Interactions, Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.prompt.order import CandidateOrder
    from lkgrag.ranker.fusion import TermWeights
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import CandidateLists

#: Most validation lists without the language model's scores, on which scorer and prior are weighed, too.
UNREAD_LISTS = 20_000


@dataclass(frozen=True)
class Evaluator:
    """Ranks the events of both splits with the language model, the scorer and the ranker.

    Only events whose target is a candidate are scored: every system that reorders candidates misses all
    others. The language model reads the prompts of as many users as the options allow; every other system ranks
    all. The evaluator does not change the model.

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
        start: TermWeights | None = None,
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
        parts = {
            split: self._score_split(
                model, split, part if users is None else part[np.isin(part.events.user, users)]
            )
            for split, part in lists.items()
        }
        queries = {split: part.queries for split, part in parts.items()}
        scored = {split: part.scored for split, part in parts.items()}
        fusion = copy.deepcopy(model.fusion)
        weights, of_lists = _keep_weights(model.fusion.weights, len(queries["val"]))
        if users is None:
            initial = model.fusion.weights if start is None else start
            weights, of_lists = self._fit(parts["val"], initial, fusion.terms)
        fusion.set(weights.chosen if model.lm is not None else weights.without_lm)
        chosen = of_lists.chosen if model.lm is not None else of_lists.without_lm
        fused = {"val": scored["val"].fused(chosen), "test": scored["test"].fused(fusion.weights)}
        without = {
            "val": scored["val"].fused(of_lists.without_lm),
            "test": scored["test"].fused(weights.without_lm),
        }
        results = {
            split: _add_reorderings(
                rank_stage_one(split, part.lists),
                part,
                {"without_lm": without[split], "ranker": fused[split]}
                if fusion.terms
                else {"ranker": fused[split]},
                has_lm=model.lm is not None,
                is_lm_fused=fusion.weights.lm > 0,
            )
            for split, part in parts.items()
        }
        tokens = np.concatenate([s.tokens[s.tokens > 0] for s in scored.values()])
        return Evaluation(
            val=results["val"],
            test=results["test"],
            fusion=fusion,
            weights=weights,
            of_lists=of_lists,
            tokens=float(tokens.mean()) if len(tokens) else 0.0,
            prompts=sum(int(part.read.sum()) for part in parts.values()),
            seconds=sum(part.seconds for part in parts.values()),
            queries=queries,
            scored=scored,
            read={split: part.read for split, part in parts.items()},
        )

    def draw_read(self, split: str, lists: CandidateLists) -> NDArray[np.bool_]:
        """The events of the users whose prompts the language model reads, bool ``[E]``.

        ``evaluation.max_events`` limits the prompts, or for validation ``evaluation.max_val_events``, if it is
        not negative.

        Args:
            split: ``val`` or ``test``.
            lists: all lists of the split.
        """
        # 0 stands for the default budget; whoever has none reads all.
        limit = self.config.max_events or -1
        if split == "val" and self.config.max_val_events >= 0:
            limit = self.config.max_val_events
        read = np.zeros(len(lists), bool)
        read[sample_events(lists.events.user, lists.retrieved, limit, self.order.seed)] = True
        return read

    def score_missed(
        self,
        model: RankerModel,
        split: str,
        lists: CandidateLists,
        read: NDArray[np.bool_] | None = None,
    ) -> Predictions:
        """Score the lists that do not hold their target. No figure needs them, but whoever wants all lists does.

        Args:
            model: as of :meth:`evaluate`.
            split: ``val`` or ``test``.
            lists: of ``E`` events.
            read: bool ``[E]``, the events whose lists the language model reads; None for all.
        """
        missed = ~lists.retrieved
        queries = lists[missed].queries(self.interactions, self.history)
        return self._score_read(
            model,
            f"{split}, lists without their target",
            queries,
            np.ones(len(queries), bool) if read is None else read[missed],
        )[0]

    def _score_split(self, model: RankerModel, split: str, lists: CandidateLists) -> _ScoredSplit:
        """Score all prompts of a split; the language model scores those that it reads."""
        retrieved = lists[lists.retrieved]
        queries = retrieved.queries(self.interactions, self.history)
        read_event = None if model.lm is None else self.draw_read(split, lists)
        read = np.ones(len(queries), bool) if read_event is None else read_event[lists.retrieved]
        scored, seconds = self._score_read(model, split, queries, read)
        return _ScoredSplit(lists, queries, scored, read, seconds, read_event)

    def _score_read(
        self, model: RankerModel, name: str, queries: Queries, read: NDArray[np.bool_]
    ) -> tuple[Predictions, float]:
        """Scores of queries and the seconds that they took; the language model scores those that it reads."""
        scored, seconds = self._score(model, name, queries[np.flatnonzero(read)])
        if read.all():
            return scored, seconds
        rest, more = self._score(
            model.without_lm(), f"{name} without language model", queries[np.flatnonzero(~read)]
        )
        return scored.interleaved(rest, read), seconds + more

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

    def _fit(
        self, val: _ScoredSplit, start: TermWeights, fuse: Sequence[str]
    ) -> tuple[FittedWeights, CrossFittedWeights]:
        """The weights fitted on validation, and for each of its lists those fitted on other users."""
        lists = TermLists(
            val.scored.terms, val.scored.mask, val.queries.target, val.queries.user, val.read
        )
        kept = np.ones(len(lists), bool)
        spare = np.flatnonzero(~val.read)
        if len(spare) > UNREAD_LISTS:
            draw = np.random.default_rng([self.order.seed, 0xE7E8])
            kept[draw.permutation(spare)[UNREAD_LISTS:]] = False
        fitted = fit_weights(lists[kept], start, self.order.seed, fuse)
        cross_fitted = cross_fit_weights(lists, start, self.order.seed, fuse, kept)
        return fitted, cross_fitted


@dataclass(frozen=True)
class _ScoredSplit:
    """The prompts of a split and their scores.

    Attributes:
        lists: the candidate lists of its ``E`` events.
        queries: the ``Q`` prompts: the events whose target is a candidate.
        scored: of the prompts.
        read: bool ``[Q]``, the prompts that the language model read; all without one.
        seconds: that the scores took.
        read_event: bool ``[E]``, the events of the users whose prompts it read; None for all.
    """

    lists: CandidateLists
    queries: Queries
    scored: Predictions
    read: NDArray[np.bool_]
    seconds: float
    read_event: NDArray[np.bool_] | None = None


def _keep_weights(weights: TermWeights, num: int) -> tuple[FittedWeights, CrossFittedWeights]:
    """A model's own weights for ``num`` lists, with nothing fitted."""
    without = weights._replace(lm=0.0).normalised()
    rows, rows_without = (np.tile(np.asarray(w), (num, 1)) for w in (weights, without))
    return (
        FittedWeights(weights, without, without, gain=math.inf),
        CrossFittedWeights(rows, rows_without, rows, rows_without),
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
    part: _ScoredSplit,
    fused: dict[str, NDArray[np.float64]],
    has_lm: bool,
    is_lm_fused: bool,
) -> SplitResult:
    """Add the ranks of the language model, the scorer and the ranker.

    Args:
        result: of stage one.
        part: the prompts of the split and their scores.
        fused: scores ``[Q, C]`` of ``ranker``, and of ``without_lm`` if there are other terms than the LM's.
        has_lm: whether there is a language model.
        is_lm_fused: whether it has a weight in the ranker's score.
    """
    terms = {"scorer": part.scored.term(SCORER), "ranker": fused["ranker"]}
    reading = set()
    if has_lm:
        terms |= {"lm": part.scored.term(LM), **fused}
        reading = {"lm", "ranker"} if is_lm_fused else {"lm"}
    ranks = {
        name: rank_targets(result, part.queries, part.scored, scores)
        for name, scores in terms.items()
    }
    return result.with_ranks(ranks, part.read_event, reading)
