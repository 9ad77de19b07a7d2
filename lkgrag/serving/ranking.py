"""Recommendations from a ranker: for users of the data, and for anyone's history."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.data.queries import Queries
from lkgrag.errors import ConfigError
from lkgrag.kg.path_words import PathWords
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch, RankerOutput
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation
from lkgrag.serving.requests import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from lkgrag.paths import PathBatch
    from lkgrag.ranker.model import RankerModel
    from lkgrag.serving.context import Context

#: Prompts a forward pass when many users are ranked.
BATCH = 8


def rank(
    model: RankerModel, context: Context, requests: list[Request], k: int, explain: bool
) -> list[Recommendation]:
    """Rank for any number of requests, in batches.

    Args:
        model: scores candidates.
        context: of the ranker.
        requests: the rankings to make.
        k: items a ranking.
        explain: word the paths.

    Raises:
        ConfigError: ``k`` is larger than the catalogue.
    """
    return [r for part in iterate(model, context, requests, k, explain) for r in part]


def iterate(
    model: RankerModel, context: Context, requests: list[Request], k: int, explain: bool
) -> Iterator[list[Recommendation]]:
    """:func:`rank`, a batch at a time."""
    check_number(context, k)
    for start in range(0, len(requests), BATCH):
        yield _Batch(model, context, requests[start : start + BATCH], k).recommend(explain)


def check_number(context: Context, k: int) -> None:
    """See that a ranking can have so many items.

    Raises:
        ConfigError: ``k`` is larger than the catalogue.
    """
    items = len(context.catalogue)
    if not 1 <= k <= items:
        raise ConfigError(f"k={k}: there are {items} items; choose 1 to that")


class _Batch:
    """One forward pass over a few requests, and the rankings that it gives."""

    def __init__(
        self, model: RankerModel, context: Context, requests: list[Request], k: int
    ) -> None:
        self.model, self.context, self.requests, self.k = model, context, requests, k
        self.queries = self._queries()
        self.batch = self._batch()
        self.paths: PathBatch = self.batch.paths.to("cpu")
        self.output = self._forward()

    def _queries(self) -> Queries:
        """Candidates and prior; given candidates get the retriever's opinion of them."""
        context = self.context
        histories = [r.history for r in self.requests]
        wanted = max(self.k, context.config.retrieval.k)
        proposed, proposed_score = context.retriever.propose(histories, wanted)
        lists = list(zip(proposed, proposed_score, strict=True))
        for row, request in enumerate(self.requests):
            if request.candidates is not None:
                score = context.retriever.score([request.history])[0]
                lists[row] = (request.candidates, score[request.candidates])
        width = max(len(items) for items, _ in lists)
        items = np.full((len(lists), width), -1, np.int64)
        value = np.full((len(lists), width), -np.inf, np.float32)
        for row, (candidates, score) in enumerate(lists):
            items[row, : len(candidates)] = candidates
            value[row, : len(candidates)] = score
        return Queries.from_histories(
            histories,
            items,
            value,
            context.config.paths.history,
            [r.rating for r in self.requests],
            np.asarray([r.index for r in self.requests], np.int64),
        )

    def _batch(self) -> RankerBatch:
        """What the model sees."""
        config, device = self.context.config, self.model.device
        width = self.queries.candidate_items.shape[1]
        # By what is asked, not by its place in a batch: the same request gets the same answer.
        ids = np.asarray([zlib.crc32(r.history.tobytes()) for r in self.requests], np.int64)
        order = CandidateOrder(config.prompt.order, config.seed)
        return RankerBatch.of(
            self.context.graph.to(device), self.queries, order(ids, width), device
        )

    @torch.no_grad()
    def _forward(self) -> RankerOutput:
        self.model.eval()
        output: RankerOutput = self.model(self.batch)
        return output

    def recommend(self, explain: bool) -> list[Recommendation]:
        """The rankings, best first."""
        shown = self._worded() if explain else {}
        score = self.output.scores.cpu().numpy()
        a, b = self.model.fusion.weights
        parts = torch.stack([self.output.lm, a * self.output.scorer, b * self.output.prior])
        # Told in units of the retriever's log-probability where that weighs more than the LM: a
        # common factor changes no ranking, and figures of one size can be read.
        unit = max(b, 1.0)
        parts, score = parts / unit, score / unit
        words = self.context.words
        catalogue, out = self.context.catalogue, []
        for row, request in enumerate(self.requests):
            candidates = self.queries.candidate_items[row]
            # Equal scores keep the retriever's order.
            best = [c for c in np.argsort(-score[row], kind="stable") if candidates[c] >= 0]
            items = [
                RankedItem(
                    place,
                    catalogue.ids[candidates[slot]],
                    catalogue.titles[candidates[slot]],
                    float(score[row, slot]),
                    lm=float(parts[0, row, slot]),
                    scorer=float(parts[1, row, slot]),
                    prior=float(parts[2, row, slot]),
                    paths=[self._path(words, i) for i in shown.get((row, int(slot)), [])],
                )
                for place, slot in enumerate(best[: self.k], start=1)
            ]
            history = [
                (catalogue.ids[i], catalogue.titles[i])
                for i in self.queries.history_items[row]
                if i >= 0
            ]
            target = None if request.target is None else catalogue.ids[request.target]
            out.append(Recommendation(items, history, request.user, target))
        return out

    def _worded(self) -> dict[tuple[int, int], list[int]]:
        """By (row, slot): the most salient path of each bundle that the model was shown.

        Without a language model nothing is worded, and the most salient paths explain alone.
        """
        salience: Tensor = self.output.salience.float().cpu()
        paths = self.paths
        keep = self.output.words.bundle_path if self.output.words is not None else None
        rows, slots = paths.sample.tolist(), paths.candidate.tolist()
        bundles: dict[tuple[int, int, int], int] = {}
        for index in range(len(paths)) if keep is None else keep.tolist():
            key = (rows[index], slots[index], int(paths.metapath[index]))
            if key not in bundles or salience[index] > salience[bundles[key]]:
                bundles[key] = index
        out: dict[tuple[int, int], list[int]] = {}
        for (row, slot, _), index in bundles.items():
            out.setdefault((row, slot), []).append(index)
        most = self.context.config.prompt.paths
        return {
            key: sorted(found, key=lambda i: -float(salience[i]))[:most]
            for key, found in out.items()
        }

    def _path(self, words: PathWords, index: int) -> PathExplanation:
        """One path instance in words."""
        metapath = self.paths.metapaths[int(self.paths.metapath[index])]
        nodes = self.paths.nodes[index, : len(metapath) + 1].tolist()
        types = [metapath[0][0], *(edge[2] for edge in metapath)]
        return PathExplanation(
            words=words.sentence(metapath, nodes),
            salience=float(self.output.salience[index]),
            nodes=[[t, words.name(t, n) or ""] for t, n in zip(types, nodes, strict=True)],
            relations=[edge[1] for edge in metapath],
            index=nodes,
        )
