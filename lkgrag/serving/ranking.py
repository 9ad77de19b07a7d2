"""Rankings by a model: for users of the data, and for anyone's history."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.data.queries import Queries
from lkgrag.errors import ConfigError
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch, RankerOutput
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lkgrag.paths import PathBatch
    from lkgrag.ranker.model import RankerModel
    from lkgrag.serving.context import Context
    from lkgrag.serving.requests import Request

#: Requests that share a forward pass.
BATCH = 8


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
    for start in range(0, len(requests), BATCH):
        batch = RankingBatch(model, context, requests[start : start + BATCH], k)
        queries = batch.build_queries()
        ranked = batch.find_paths(queries)
        yield batch.explain(queries, ranked, batch.score(ranked), with_paths=explain)


def check_k(context: Context, k: int) -> None:
    """Check that a ranking can have ``k`` items.

    Raises:
        ConfigError: ``k`` is below 1 or larger than the catalogue.
    """
    items = len(context.catalogue)
    if not 1 <= k <= items:
        raise ConfigError(f"k={k}: there are {items} items; choose a number from 1 to {items}")


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

        The retriever proposes the candidates, unless the request names them.
        """
        context = self.context
        histories = [request.history for request in self.requests]
        number = max(self.k, context.config.retrieval.k)
        proposed, proposed_scores = context.retriever.propose(histories, number)
        lists = list(zip(proposed, proposed_scores, strict=True))
        for row, request in enumerate(self.requests):
            if request.candidates is not None:
                item_scores = context.retriever.score([request.history])[0]
                lists[row] = (request.candidates, item_scores[request.candidates])
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
        order = CandidateOrder(config.prompt.order, config.seed)
        slots = order(np.asarray(ids, np.int64), queries.candidate_items.shape[1])
        return RankerBatch.of(self.context.graph.to(device), queries, slots, device)

    @torch.no_grad()
    def score(self, batch: RankerBatch) -> RankerOutput:
        """The model's scores of the candidates."""
        self.model.eval()
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
        score = output.scores.cpu().numpy()
        lm, a, b = self.model.fusion.weights
        parts = torch.stack([lm * output.lm, a * output.scorer, b * output.prior])
        paths, salience = batch.paths.to("cpu"), output.salience.float().cpu().numpy()
        chosen = self._choose_paths(paths, output, salience) if with_paths else {}
        ids, titles = self.context.catalogue.ids, self.context.catalogue.titles
        recommendations = []
        for row, request in enumerate(self.requests):
            candidates = queries.candidate_items[row]
            # Equal scores keep the retriever's order.
            slots = [s for s in np.argsort(-score[row], kind="stable") if candidates[s] >= 0]
            items = [
                RankedItem(
                    place,
                    ids[candidates[slot]],
                    titles[candidates[slot]],
                    float(score[row, slot]),
                    lm=float(parts[0, row, slot]),
                    scorer=float(parts[1, row, slot]),
                    prior=float(parts[2, row, slot]),
                    paths=[
                        self._explain_path(paths, index, float(salience[index]))
                        for index in chosen.get((row, int(slot)), [])
                    ],
                )
                for place, slot in enumerate(slots[: self.k], start=1)
            ]
            history = [(ids[i], titles[i]) for i in queries.history_items[row] if i >= 0]
            target = None if request.target is None else ids[request.target]
            recommendations.append(Recommendation(items, history, request.user, target))
        return recommendations

    def _choose_paths(
        self, paths: PathBatch, output: RankerOutput, salience: NDArray[np.float32]
    ) -> dict[tuple[int, int], list[int]]:
        """The most salient path of each bundle in the prompts, best first, for each (row, slot).

        Without a language model there are no prompts. Then every meta-path of a candidate is a bundle.

        Args:
            paths: ``P`` paths, on the CPU.
            output: of the model.
            salience: float32 ``[P]``.

        Returns:
            Indices of paths, at most ``prompt.paths`` for each (row, slot).
        """
        rows, slots = paths.sample.tolist(), paths.candidate.tolist()
        metapaths = paths.metapath.tolist()
        indices = range(len(paths)) if output.words is None else output.words.bundle_path.tolist()
        best: dict[tuple[int, int, int], int] = {}
        for index in indices:
            bundle = (rows[index], slots[index], metapaths[index])
            if bundle not in best or salience[index] > salience[best[bundle]]:
                best[bundle] = index
        chosen: dict[tuple[int, int], list[int]] = {}
        for (row, slot, _), index in best.items():
            chosen.setdefault((row, slot), []).append(index)
        most = self.context.config.prompt.paths
        return {
            pair: sorted(indices, key=lambda i: -salience[i])[:most]
            for pair, indices in chosen.items()
        }

    def _explain_path(self, paths: PathBatch, index: int, salience: float) -> PathExplanation:
        """One path instance in words."""
        words = self.context.words
        metapath = paths.metapaths[int(paths.metapath[index])]
        nodes = paths.nodes[index, : len(metapath) + 1].tolist()
        types = [metapath[0][0], *(edge[2] for edge in metapath)]
        return PathExplanation(
            words=words.sentence(metapath, nodes),
            salience=salience,
            nodes=[[t, words.name(t, n) or ""] for t, n in zip(types, nodes, strict=True)],
            relations=[edge[1] for edge in metapath],
            index=nodes,
        )
