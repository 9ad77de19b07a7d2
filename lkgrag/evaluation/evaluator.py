"""From scores to figures: the ranks of all systems, the refitted weights, ``metrics.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from lkgrag.data import Queries
from lkgrag.evaluation import SplitResult, nest, pessimistic_rank, sample_events
from lkgrag.evaluation.score_cache import kept, scores_key
from lkgrag.evaluation.significance import standard_error
from lkgrag.ranker.fusion_weights import cross_fit_weights, fit_weights
from lkgrag.ranker.scoring import Predictions, predict
from lkgrag.retrieval.ranks import MISSED
from lkgrag.run.stages import queries_for
from lkgrag.utils.console import bar

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.evaluation import Difference
    from lkgrag.paths import Finder
    from lkgrag.ranker.model import Ranker
    from lkgrag.retrieval import CandidateLists
    from lkgrag.run.stages import Loaded

LM, SCORER, PRIOR = 0, 1, 2
#: Validation lists that scorer and prior are weighed on, where the language model reads fewer.
WEIGHED = 20_000


@dataclass(frozen=True)
class Judged:
    """What the evaluation found.

    Attributes:
        val: ranks on validation; the ranker's with weights fitted on other users.
        test: ranks on test; the ranker's with the weights fitted on all of validation.
        weights: the refitted ``(a, b)``.
        tokens: mean tokens of a prompt.
        prompts: prompts that the language model read.
        seconds: that the forward passes took, all processes together side by side.
        queries: the prompts of each split.
        scored: their scores, tokens and attention.
    """

    val: SplitResult
    test: SplitResult
    weights: tuple[float, float]
    tokens: float
    prompts: int
    seconds: float
    queries: dict[str, Queries]
    scored: dict[str, Predictions]

    def losses(self, split: str) -> dict[str, NDArray[np.float64]]:
        """Negative log-probability of each event's target among the candidates, in nats.

        Returns:
            By the terms of the fused score, each alone: float64 ``[E]``, NaN where the target is no
            candidate. Chance is the logarithm of the number of candidates.
        """
        result: SplitResult = getattr(self, split)
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
            result: SplitResult = getattr(self, split)
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

    def metrics(self, ks: list[int]) -> dict[str, Any]:
        """``{system: {split: {population: {metric: mean}}}}``."""
        return nest([self.val, self.test], ks)

    def differences(
        self, resamples: int, seed: int
    ) -> list[tuple[str, str, str, str, str, Difference]]:
        """``(split, system, other, metric, population, difference)`` of the comparisons that matter."""
        wanted = [
            ("test", "ranker", "retriever", "ndcg@10", "all"),
            ("test", "ranker", "retriever", "ndcg@10", "retrieved"),
            ("val", "ranker", "retriever", "ndcg@10", "all"),
            ("val", "scorer", "random", "ndcg@10", "retrieved"),
            ("val", "lm", "random", "ndcg@10", "retrieved"),
            ("test", "scorer", "random", "ndcg@10", "retrieved"),
            ("test", "lm", "random", "ndcg@10", "retrieved"),
        ]
        out = []
        for split, system, other, metric, population in wanted:
            result: SplitResult = getattr(self, split)
            if system not in result.ranks or not result.mask(population).any():
                continue
            found = result.compare(system, other, metric, population, resamples, seed)
            out.append((split, system, other, metric, population, found))
        return out


def judged_lists(
    config: Config,
    split: str,
    lists: CandidateLists,
    users: NDArray[np.int64] | None = None,
) -> CandidateLists:
    """The events that are judged: all, or those of random users within ``evaluation.max_events``.

    For validation, ``evaluation.max_val_events`` goes before it.
    """
    if users is not None:
        lists = lists[np.isin(lists.events.user, users)]
    said = config.evaluation
    limit = said.max_events
    if split == "val" and said.max_val_events >= 0:
        limit = said.max_val_events
    return lists[sample_events(lists.events.user, lists.retrieved, limit, config.seed)]


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


def judge(
    config: Config,
    loaded: Loaded,
    ranker: Ranker,
    data: HeteroData,
    finder: Finder,
    val: CandidateLists,
    test: CandidateLists,
    accelerator: Accelerator | None,
    users: NDArray[np.int64] | None = None,
    refit: bool = True,
    keep: Path | None = None,
) -> Judged:
    """Rank the events of both splits with the language model, the scorer and the ranker.

    Only events whose target is a candidate need the language model: for all others every system that
    reorders the candidates misses.

    Args:
        config: of the run.
        loaded: its data.
        ranker: trained; its fusion gets the refitted weights.
        data: the graph of all training interactions.
        finder: its paths.
        val: candidate lists of the validation events.
        test: of the test events.
        accelerator: shares the work.
        users: judge only these.
        refit: fit the fusion's weights on validation; False takes them as they are.
        keep: a folder for the scores of each split, which a later attempt reads.
    """
    lists = {
        split: judged_lists(config, split, found, users)
        for split, found in (("val", val), ("test", test))
    }
    queries: dict[str, Queries] = {}
    scored: dict[str, Predictions] = {}
    seconds = 0.0

    def scores(by: Ranker, what: str, asked: Queries) -> tuple[Predictions, float]:
        def make() -> Predictions:
            said = (config.prompt.order, config.seed, config.evaluation.batch_size)
            with bar(f"rank {what}") as update:
                return predict(by, data, finder, asked, *said, accelerator, update)

        path = keep / f"{what}.safetensors" if keep is not None and by.lm is not None else None
        return kept(path, scores_key(config, by, asked), make, accelerator)

    for split, chosen in lists.items():
        queries[split] = queries_for(config, loaded, chosen[chosen.retrieved])
        scored[split], took = scores(ranker, split, queries[split])
        seconds += took
    read = queries["val"]
    per_list = np.tile((ranker.fusion.a.item(), ranker.fusion.b.item()), (len(read), 1))
    if refit:
        more = queries_for(config, loaded, _unread(config, val, lists["val"], users))
        silent, _ = scores(_without_lm(ranker), "val without language model", more)
        per_list = _refit(ranker, (read, more), (scored["val"], silent), config.seed)
    weights = (ranker.fusion.a.item(), ranker.fusion.b.item())
    fused = {
        "val": scored["val"].fused(per_list[:, 0], per_list[:, 1]),
        "test": scored["test"].fused(*weights),
    }
    results = {
        split: _with_reorderings(
            split_result(split, lists[split]), scored[split], queries[split], fused[split], ranker
        )
        for split in lists
    }
    tokens = np.concatenate([s.tokens for s in scored.values()])
    return Judged(
        val=results["val"],
        test=results["test"],
        weights=weights,
        tokens=float(tokens.mean()) if len(tokens) else 0.0,
        prompts=len(tokens),
        seconds=seconds,
        queries=queries,
        scored=scored,
    )


def _refit(
    ranker: Ranker,
    queries: tuple[Queries, Queries],
    scored: tuple[Predictions, Predictions],
    seed: int,
) -> NDArray[np.float64]:
    """Fit the fusion's weights on validation, in place.

    Args:
        ranker: its fusion is set.
        queries: validation lists that the language model read, and further ones.
        scored: their scores.
        seed: of the folds.

    Returns:
        ``[E, 2]``, for each list that was read the weights fitted without its user.
    """
    terms = np.concatenate([s.terms for s in scored], axis=1)
    mask = np.concatenate([s.mask for s in scored])
    target = np.concatenate([q.target for q in queries])
    user = np.concatenate([q.user for q in queries])
    number = len(queries[0])
    read = np.arange(len(target)) < number
    known = (terms, mask, target, user, ranker.learned, seed, ranker.fusion.terms, read)
    per_list = cross_fit_weights(*known)[:number]
    ranker.fusion.set(*fit_weights(*known))
    return per_list


def _unread(
    config: Config, val: CandidateLists, read: CandidateLists, users: NDArray[np.int64] | None
) -> CandidateLists:
    """Validation lists with their target that the language model does not read."""
    found = val if users is None else val[np.isin(val.events.user, users)]
    found = found[found.retrieved & ~np.isin(found.events.user, read.events.user)]
    return found[sample_events(found.events.user, found.retrieved, WEIGHED, config.seed)]


def _without_lm(ranker: Ranker) -> Ranker:
    """The same scorer without the language model."""
    return type(ranker)(None, ranker.scorer, None, ranker.fusion)


def _with_reorderings(
    result: SplitResult,
    scored: Predictions,
    queries: Queries,
    fused: NDArray[np.float64],
    ranker: Ranker,
) -> SplitResult:
    """Add the ranks of the language model, the scorer and the ranker."""
    terms = {"scorer": scored.term(SCORER), "ranker": fused}
    if ranker.lm is not None:
        terms["lm"] = scored.term(LM)
    ranks = {}
    for name, scores in terms.items():
        rank = np.zeros(len(result), np.int64)
        rank[result.retrieved] = pessimistic_rank(scores, queries.target, scored.mask)
        ranks[name] = rank
    return result.with_ranks(ranks)
