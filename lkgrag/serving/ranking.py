"""Rankings by a model: for users of the data, and for anyone's history."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.data.queries import Queries
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch, RankerOutput
from lkgrag.serving.arguments import check_k, check_switch
from lkgrag.serving.asked import explain_asked, propose, weigh_asked
from lkgrag.serving.choice import choose_paths
from lkgrag.serving.diversity import Reordered, reorder
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lkgrag.kg import MetaPath
    from lkgrag.paths import PathBatch
    from lkgrag.ranker.model import RankerModel
    from lkgrag.serving.context import Context
    from lkgrag.serving.requests import Request

#: Requests that share a forward pass: with a language model, and without one.
BATCH, BATCH_WITHOUT_LM = 8, 32


def rank(
    model: RankerModel, context: Context, requests: list[Request], k: int, explain: bool
) -> list[Recommendation]:
    """Rank for any number of requests, in batches.

    Args:
        model: scores candidates.
        context: graph, retriever, catalogue and configuration.
        requests: the rankings to make.
        k: items a ranking.
        explain: word the paths.

    Returns:
        One ranking a request, in their order.

    Raises:
        ConfigError: ``k`` is below 1 or larger than the catalogue.
    """
    rankings: list[Recommendation] = []
    with bar("rank users", show=len(requests) > BATCH) as update:
        for batch in rank_in_batches(model, context, requests, k, explain):
            rankings += batch
            update(len(rankings), len(requests))
    return rankings


def rank_in_batches(
    model: RankerModel, context: Context, requests: list[Request], k: int, explain: bool
) -> Iterator[list[Recommendation]]:
    """Rank as :func:`rank` does, and give the rankings a batch at a time."""
    check_k(context, k)
    check_switch("explain", explain)
    size = BATCH_WITHOUT_LM if model.lm is None else BATCH
    for start in range(0, len(requests), size):
        batch = RankingBatch(model, context, requests[start : start + size], k)
        queries = batch.build_queries()
        ranked = batch.find_paths(queries)
        yield batch.explain(queries, ranked, batch.score(ranked), with_paths=explain)


@dataclass(frozen=True)
class RankingBatch:
    """A few requests that share one forward pass.

    A ranking takes four steps, each from the results of those before it: :meth:`build_queries`,
    :meth:`find_paths`, :meth:`score`, :meth:`explain`.

    Attributes:
        model: scores candidates.
        context: graph, retriever, catalogue and configuration.
        requests: ``B`` rankings to make.
        k: items a ranking.
    """

    model: RankerModel
    context: Context
    requests: list[Request]
    k: int

    def build_queries(self) -> Queries:
        """Queries with the candidates of each request and the retriever's scores of them.

        The retriever proposes the candidates, with what is asked for in words, unless the request names them.
        """
        context = self.context
        histories = [request.history for request in self.requests]
        number = max(self.k, context.config.retrieval.k)
        lists = propose(context.retriever, self.requests, number)
        width = max(len(items) for items, _ in lists)
        candidates = np.full((len(lists), width), -1, np.int64)
        scores = np.full((len(lists), width), -np.inf, np.float32)
        for row, (items, item_scores) in enumerate(lists):
            candidates[row, : len(items)] = items
            scores[row, : len(items)] = item_scores
        return Queries.from_histories(
            histories,
            candidates,
            scores,
            context.config.paths.history,
            [request.rating for request in self.requests],
            np.asarray([request.index for request in self.requests], np.int64),
        )

    def find_paths(self, queries: Queries) -> RankerBatch:
        """The model's input: the paths of the queries and the order of their candidates."""
        config, device = self.context.config, self.model.device
        # The id follows from the history, not from the place in a batch: so the same request always gets
        # the same answer.
        ids = [zlib.crc32(request.history.tobytes()) for request in self.requests]
        # Without a language model there is no prompt; then drawing an order would only take time.
        policy = "retriever" if self.model.prompter is None else config.prompt.order
        order = CandidateOrder(policy, config.seed)
        slots = order(np.asarray(ids, np.int64), queries.candidate_items.shape[1])
        return RankerBatch.of(self.context.graph.to(device), queries, slots, device)

    def score(self, batch: RankerBatch) -> RankerOutput:
        """The model's scores of the candidates."""
        if any(module.training for module in (self.model, *self.model.children())):
            self.model.eval()
        # Custom code may keep tensors, and training cannot use those of the inference mode.
        is_ours = self.model.lm is None and type(self.model.scorer).__module__.startswith("lkgrag.")
        with torch.inference_mode() if is_ours else torch.no_grad():
            output: RankerOutput = self.model(batch)
        return output

    def explain(
        self, queries: Queries, batch: RankerBatch, output: RankerOutput, with_paths: bool = True
    ) -> list[Recommendation]:
        """The rankings, best item first.

        Args:
            queries: of :meth:`build_queries`.
            batch: of :meth:`find_paths`.
            output: of :meth:`score`.
            with_paths: word the paths of each item.
        """
        weights = (1.0, *self.model.fusion.weights)
        score, lm, scorer, prior = (
            np.float32(weight) * term.cpu().numpy()
            for weight, term in zip(weights, output[:4], strict=True)
        )
        asked = weigh_asked(self.context.requests, self.requests, queries.candidate_items)
        score = score + asked
        # Equal scores keep the retriever's order.
        ranked = np.argsort(-score, axis=1, kind="stable")
        best = [
            [slot for slot in slots if candidates[slot] >= 0]
            for slots, candidates in zip(
                ranked.tolist(), queries.candidate_items.tolist(), strict=True
            )
        ]
        varied = [self._vary(r, s, queries, score) for r, s in enumerate(best)]
        best = [
            slots[: self.k] if new is None else [slots[place] for place in new.order.tolist()]
            for slots, new in zip(best, varied, strict=True)
        ]
        worded = self._word_paths(batch.paths.to("cpu"), output, best) if with_paths else {}
        ids, titles = self.context.catalogue.ids, self.context.catalogue.titles
        recommendations = []
        for row, request in enumerate(self.requests):
            slots = best[row]
            chosen = queries.candidate_items[row, slots].tolist()
            terms = np.stack([score[row], lm[row], scorer[row], prior[row], asked[row]], 1)
            items = []
            for place, (item, slot, parts) in enumerate(
                zip(chosen, slots, terms[slots].tolist(), strict=True), 1
            ):
                total, of_lm, of_scorer, of_prior, of_request = parts
                words = worded.get((row, slot), [])
                why = explain_asked(self.context.requests, request, item) if with_paths else ""
                new = varied[row]
                moved, alike = 0, 0.0
                if new is not None:
                    moved, alike = (
                        int(new.order[place - 1]) + 1 - place,
                        float(new.alike[place - 1]),
                    )
                one = RankedItem(
                    *(place, ids[item], titles[item]),
                    *(total, of_lm, of_scorer, of_prior),
                    paths=words,
                    request=of_request,
                    asked=why,
                    moved=moved,
                    alike=alike,
                )
                items.append(one)
            history = [(ids[i], titles[i]) for i in queries.history_items[row].tolist() if i >= 0]
            target = None if request.target is None else ids[request.target]
            text = None if request.asked is None else request.asked.text
            recommendations.append(Recommendation(items, history, request.user, target, text))
        return recommendations

    def _vary(
        self, row: int, slots: list[int], queries: Queries, score: NDArray[np.float32]
    ) -> Reordered | None:
        """The new order of a ranking's candidates, if variety is asked for.

        Args:
            row: of the request.
            slots: its filled candidate slots, best first.
            queries: of :meth:`build_queries`.
            score: float32 ``[B, C]``, with what is asked for in words.
        """
        diversity = self.requests[row].diversity
        vectors = self.context.item_vectors if diversity else None
        if vectors is None:
            return None
        similarity = vectors.similarity(queries.candidate_items[row, slots])
        return reorder(score[row, slots], similarity, diversity, self.k)

    def _word_paths(
        self, paths: PathBatch, output: RankerOutput, best: list[list[int]]
    ) -> dict[tuple[int, int], list[PathExplanation]]:
        """The worded paths of the best candidates, most salient first, by (row, slot).

        Args:
            paths: ``P`` paths, on the CPU.
            output: of the model.
            best: slots of the candidates that are shown, by row.
        """
        salience = output.salience.float().cpu().numpy()
        width = paths.num_candidates
        is_shown = np.zeros(paths.num_prompts * width, np.bool_)
        is_shown[[row * width + slot for row, slots in enumerate(best) for slot in slots]] = True
        # Without a language model there are no prompts. Then every meta-path of a candidate is a bundle.
        words = output.words
        index = np.arange(len(paths)) if words is None else words.bundle_path.cpu().numpy()
        slot, metapath = paths.slot.numpy(), paths.metapath.numpy()
        index = index[is_shown[slot[index]]]
        index = choose_paths(
            index, slot[index], metapath[index], salience[index], self.context.config.prompt.paths
        )
        chosen: dict[tuple[int, int], list[PathExplanation]] = {}
        columns = (slot[index], metapath[index], paths.nodes.numpy()[index], salience[index])
        for place, number, nodes, weight in zip(*(x.tolist() for x in columns), strict=True):
            explanation = self._explain_path(paths.metapaths[number], nodes, weight)
            chosen.setdefault(divmod(place, width), []).append(explanation)
        return chosen

    def _explain_path(
        self, metapath: MetaPath, nodes: list[int], salience: float
    ) -> PathExplanation:
        """One path instance in words; padding may follow its nodes."""
        words = self.context.words
        nodes = nodes[: len(metapath) + 1]
        types = [metapath[0][0], *(edge[2] for edge in metapath)]
        return PathExplanation(
            words=words.sentence(metapath, nodes),
            salience=salience,
            nodes=[[t, words.name(t, n) or ""] for t, n in zip(types, nodes, strict=True)],
            relations=[edge[1] for edge in metapath],
            index=nodes,
        )
