"""From scores to ranks: every system on the events of both splits, with the fusion's weights fitted anew."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.evaluation.metrics import pessimistic_rank
from lkgrag.evaluation.protocol import SplitResult, sample_events
from lkgrag.evaluation.result import Evaluation
from lkgrag.evaluation.score_cache import ScoreCache, timed
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.fusion_weights import TermLists, cross_fit_weights, fit_weights
from lkgrag.ranker.scoring import LM, SCORER, Predictions, score_queries
from lkgrag.retrieval.ranks import MISSED
from lkgrag.utils.console import bar

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from lkgrag.config import EvaluationConfig
    from lkgrag.data import Interactions, Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.prompt.order import CandidateOrder
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import CandidateLists

#: Validation lists that scorer and prior are weighed on, where the language model reads fewer.
WEIGHED = 20_000


@dataclass(frozen=True)
class Evaluator:
    """Ranks the events of both splits with the language model, the scorer and the ranker.

    Only events whose target is a candidate need the language model: every system that reorders the
    candidates misses all others. The evaluator changes nothing in the model that it judges.

    Attributes:
        interactions: the sequences.
        graph: of all training interactions, and its paths.
        config: how many events are judged, and how many prompts a forward pass has.
        order: of the candidates; its seed also draws events and folds.
        history: most history items of a query, ``paths.history``.
        accelerator: shares the work; None is one process.
        scores: keeps the scores of each split, which a later attempt reads; None keeps none.
    """

    interactions: Interactions
    graph: GraphPaths
    config: EvaluationConfig
    order: CandidateOrder
    history: int
    accelerator: Accelerator | None = None
    scores: ScoreCache | None = None

    def evaluate(
        self,
        model: RankerModel,
        lists: dict[str, CandidateLists],
        users: NDArray[np.int64] | None = None,
        start: tuple[float, float] | None = None,
    ) -> Evaluation:
        """Judge a model on the candidate lists of both splits.

        The weights of the fusion are fitted on validation, except where only some users are judged:
        then those of the model are taken as they are.

        Args:
            model: trained; left as it is.
            lists: of the events of ``val`` and ``test``.
            users: judge only these, int64; all by default.
            start: the weights where there is no list to fit on; those of the model by default.
        """
        judged = {split: self.choose_lists(split, found, users) for split, found in lists.items()}
        queries = {
            split: chosen[chosen.retrieved].queries(self.interactions, self.history)
            for split, chosen in judged.items()
        }
        scored, seconds = {}, 0.0
        for split, asked in queries.items():
            scored[split], took = self._score(model, split, asked)
            seconds += took
        fusion = copy.deepcopy(model.fusion)
        per_list = np.tile(model.fusion.weights, (len(queries["val"]), 1))
        if users is None:
            unread = self._unread(lists["val"], judged["val"])
            more = unread.queries(self.interactions, self.history)
            silent, _ = self._score(model.without_lm(), "val without language model", more)
            known = _term_lists((queries["val"], more), (scored["val"], silent))
            begin = model.fusion.weights if start is None else start
            per_list = self._refit(fusion, known, begin)[: len(queries["val"])]
        fused = {
            "val": scored["val"].fused(per_list[:, 0], per_list[:, 1]),
            "test": scored["test"].fused(*fusion.weights),
        }
        results = {
            split: _with_reorderings(
                split_result(split, judged[split]),
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
        """The events that are judged: all, or those of random users within ``evaluation.max_events``.

        For validation, ``evaluation.max_val_events`` goes before it.
        """
        if users is not None:
            lists = lists[np.isin(lists.events.user, users)]
        limit = self.config.max_events
        if split == "val" and self.config.max_val_events >= 0:
            limit = self.config.max_val_events
        return lists[sample_events(lists.events.user, lists.retrieved, limit, self.order.seed)]

    def _unread(self, val: CandidateLists, read: CandidateLists) -> CandidateLists:
        """Validation lists with their target that the language model does not read."""
        rest = val[val.retrieved & ~np.isin(val.events.user, read.events.user)]
        return rest[sample_events(rest.events.user, rest.retrieved, WEIGHED, self.order.seed)]

    def _score(self, model: RankerModel, name: str, queries: Queries) -> tuple[Predictions, float]:
        """Scores of queries, and the seconds that they took; from the cache where they are there."""

        def score() -> Predictions:
            with bar(f"rank {name}") as update:
                return score_queries(
                    model,
                    self.graph,
                    queries,
                    self.order,
                    self.config.batch_size,
                    self.accelerator,
                    update,
                )

        cache = self.scores if model.lm is not None else None
        if cache is None:
            return timed(score)
        return cache.load_or_score(name, model, queries, score, self.accelerator)

    def _refit(
        self, fusion: Fusion, lists: TermLists, start: tuple[float, float]
    ) -> NDArray[np.float64]:
        """Set the weights fitted on all lists; return ``[E, 2]``, each fitted without the list's user."""
        per_list = cross_fit_weights(lists, start, self.order.seed, fusion.terms)
        fusion.set(*fit_weights(lists, start, self.order.seed, fusion.terms))
        return per_list


def _term_lists(
    queries: tuple[Queries, Queries], scored: tuple[Predictions, Predictions]
) -> TermLists:
    """The lists that the language model read, and after them further ones."""
    target = np.concatenate([q.target for q in queries])
    return TermLists(
        terms=np.concatenate([s.terms for s in scored], axis=1),
        mask=np.concatenate([s.mask for s in scored]),
        target=target,
        user=np.concatenate([q.user for q in queries]),
        read=np.arange(len(target)) < len(queries[0]),
    )


def split_result(split: str, lists: CandidateLists) -> SplitResult:
    """The ranks that stage one already knows."""
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


def _with_reorderings(
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
