"""What a run says of its rankings beside accuracy: what lists show, to which users, and by which paths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lkgrag.evaluation.beyond import LENGTH, Readers, beyond_of
from lkgrag.evaluation.fairness import compare_groups
from lkgrag.evaluation.path_quality import (
    Explanations,
    entity_popularity,
    linking_recency,
    measure_paths,
)
from lkgrag.evaluation.popularity import opportunity_bias
from lkgrag.evaluation.user_groups import ACTIVITY, TASTE, by_activity, by_attributes, by_taste
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch
from lkgrag.retrieval.ranks import histories_of
from lkgrag.retrieval.system_lists import system_lists
from lkgrag.serving.choice import choose_paths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.dataset import Dataset
    from lkgrag.evaluation.result import Evaluation
    from lkgrag.paths import GraphPaths
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import StageOne

#: Lists whose explanations are measured at most, drawn at random: each needs a search for its paths.
EXPLAINED = 1000
#: Lists of a forward pass.
BATCH = 64


@dataclass(frozen=True)
class Described:
    """The parts of a finished evaluation that are described.

    Attributes:
        dataset: data of the run.
        stage_one: its systems rank the whole catalogue.
        evaluation: of the ranker.
        graph: the graph of all training interactions, and its paths.
        resamples: of users, for intervals.
        seed: of all draws.
    """

    dataset: Dataset
    stage_one: StageOne
    evaluation: Evaluation
    graph: GraphPaths
    resamples: int
    seed: int

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """Training interactions of each item, int64 ``[I]``."""
        interactions = self.dataset.interactions
        items = interactions.item[self.dataset.split.train_mask(interactions)]
        return np.bincount(items, minlength=interactions.num_items)

    def beyond_accuracy(self) -> dict[str, Any]:
        """Figures of the first items of every system, as of :func:`~lkgrag.evaluation.beyond.beyond_of`.

        All but those of stage one order the same candidates. ``pri`` is of all events with candidates.
        """
        evaluation, interactions = self.evaluation, self.dataset.interactions
        events = self.stage_one.test.events[evaluation.listed("test")]
        lists = evaluation.lists("test", self.seed)
        length = min((items.shape[1] for items in lists.values()), default=LENGTH)
        retriever = self.stage_one.retriever
        alone = system_lists(retriever, interactions, events, length)
        lists |= {name: alone[name][0] for name in retriever.systems}
        readers = Readers(
            events.user, histories_of(interactions, events), self.resamples, self.seed
        )
        popularity = self.popularity
        out = beyond_of(lists, popularity, self.graph.data, "test", readers)
        if out:
            keep = np.zeros(len(evaluation.test), bool)
            keep[evaluation.listed("test")] = True
            biases = opportunity_bias(evaluation.test, keep, popularity, self.resamples, self.seed)
            for system, (value, low, high) in biases.items():
                if system in out["systems"]:
                    out["systems"][system]["pri"] = value
                    out["intervals"][system]["pri"] = [low, high]
        return out

    def user_groups(self, attributes: list[str]) -> dict[str, Any]:
        """Figures by group of users, as of :func:`~lkgrag.evaluation.fairness.compare_groups`.

        Args:
            attributes: of ``evaluation.groups``.
        """
        interactions, split = self.dataset.interactions, self.dataset.split
        training = interactions.first(split.train_end)
        histories = [training.sequence(user) for user in range(training.num_users)]
        groupings = {
            ACTIVITY: by_activity(np.diff(training.indptr)),
            TASTE: by_taste(histories, self.popularity),
            **by_attributes(interactions.users, attributes),
        }
        return compare_groups(self.evaluation.test, groupings, self.resamples, self.seed)

    @torch.no_grad()
    def path_quality(self, model: RankerModel) -> dict[str, Any]:
        """The quality of the paths that explain the ranker's first items on test.

        An item's path is its most salient one, by the path scorer; the language model need not read it again.

        Args:
            model: that ranked.

        Returns:
            ``split``, ``k``, ``lists``, ``paths``, and ``measures``, as of
            :func:`~lkgrag.evaluation.path_quality.measure_paths`; empty without a list or a meta-path.
        """
        evaluation = self.evaluation
        read = np.flatnonzero(evaluation.read["test"])
        if not len(read) or not self.graph.metapaths:
            return {}
        rng = np.random.default_rng([self.seed, 0x9A7])
        chosen = np.sort(rng.permutation(len(read))[:EXPLAINED])
        queries = evaluation.queries["test"][read[chosen]]
        scores = evaluation.scored["test"].fused(evaluation.fusion.weights)[read[chosen]]
        events = self.stage_one.test.events[evaluation.listed("test")[chosen]]
        shown = np.zeros(queries.candidate_items.shape, bool)
        first = np.argsort(-scores, axis=1, kind="stable")[:, :LENGTH]
        np.put_along_axis(shown, first, True, axis=1)
        shown &= queries.candidate_items >= 0
        silent, device = model.without_lm().eval(), model.device
        graph, width = self.graph.to(device), queries.candidate_items.shape[1]
        order = CandidateOrder("retriever", self.seed)
        parts = []
        for start in range(0, len(chosen), BATCH):
            rows = np.arange(start, min(start + BATCH, len(chosen)))
            batch = RankerBatch.of(graph, queries[rows], order(rows, width), device)
            salience = silent(batch).salience.float().cpu().numpy()
            paths = batch.paths.to("cpu")
            slot = paths.slot.numpy()
            index = np.flatnonzero(shown[rows].ravel()[slot])
            metapath = paths.metapath.numpy()
            index = choose_paths(index, slot[index], metapath[index], salience[index], 1)
            columns = (paths.sample, paths.metapath, paths.history)
            sample, kind, place = (x.numpy()[index] for x in columns)
            parts.append((sample + start, kind, place, paths.nodes.numpy()[index]))
        listed, kind, place = (np.concatenate([p[n] for p in parts]) for n in range(3))
        longest = max(part[3].shape[1] for part in parts)
        nodes = np.concatenate(
            [
                np.pad(p[3], ((0, 0), (0, longest - p[3].shape[1])), constant_values=-1)
                for p in parts
            ]
        )
        explanations = Explanations(
            self.graph.metapaths,
            listed,
            kind,
            nodes,
            self._recency(events.user, events.position, queries.history_items, listed, place),
            shown.sum(1),
            events.user,
        )
        return {
            "split": "test",
            "k": min(LENGTH, width),
            "lists": len(chosen),
            "paths": len(listed),
            "measures": measure_paths(
                explanations, entity_popularity(self.graph.data), self.resamples, self.seed
            ),
        }

    def _recency(
        self,
        user: NDArray[np.int64],
        position: NDArray[np.int64],
        history: NDArray[np.int64],
        listed: NDArray[np.int64],
        place: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """The recency of each path's linking interaction, among all that its user chose before."""
        x = self.dataset.interactions
        out = np.zeros(len(listed))
        for row in np.unique(listed).tolist():
            begin = x.indptr[user[row]]
            part = slice(begin, begin + position[row])
            recency = linking_recency(x.time[part], x.item[part])
            mine = listed == row
            # Slots hold the latest items, oldest first.
            out[mine] = recency[position[row] - (history[row] >= 0).sum() + place[mine]]
        return out
