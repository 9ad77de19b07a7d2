"""An instant first ranking: what was trained on two data sets ranks the third, which is only counted.

Rows differ in what they take from the other two sets. ``prior`` takes nothing: the third set's own counts, each of the
same weight. ``weights`` takes their fusion weights, ``towers`` their text towers, too, ``scorer`` their path scorers,
too. ``towers alone`` ranks by their towers and nothing else. ``in-domain`` trained all of it on the third set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.language import path_scores
from benchmarks.language.logit import figures
from benchmarks.language.setting import configuration, stages_of, text_vectors
from lkgrag.paths import graph_paths
from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.ranks import MISSED
from lkgrag.retrieval.text.retriever import TextRetriever
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.text import item_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lkgrag.config import Config
    from lkgrag.paths import GraphPaths
    from lkgrag.run.stages import Stages
    from lkgrag.training.pretraining import Pretraining

#: The data sets; each one is the third once.
SETS = ("ml-100k", "ml-latest-small", "amazon-beauty")
#: Systems that need no training but the towers. LRURec has a vector for each item, which is of no use elsewhere.
SYSTEMS = ("popularity", "itemitem", "graph_itemitem", "text")


@dataclass(frozen=True)
class Trained:
    """A data set, and all that is trained on it.

    Attributes:
        name: of the set.
        config: options; stage one fuses :data:`SYSTEMS`.
        vectors: float32 ``[I, D]``, the encoder's of the items' texts.
    """

    name: str
    config: Config
    vectors: torch.Tensor

    @classmethod
    def of(cls, name: str, roots: dict[str, str], root: Path, seed: int) -> Trained:
        """A data set with stages that are kept below a folder."""
        config = configuration(name, roots, root, seed)
        retrieval = replace(config.retrieval, systems=list(SYSTEMS))
        return cls(name, replace(config, retrieval=retrieval), text_vectors(config))

    @cached_property
    def stages(self) -> Stages:
        """Graph and stage one."""
        return stages_of(self.config)

    @cached_property
    def retriever(self) -> FusedRetriever:
        """Stage one, fitted on all training interactions."""
        return self.stages.retrieval().retriever

    @cached_property
    def graph(self) -> GraphPaths:
        """The graph of all training interactions, and its paths."""
        return graph_paths(self.stages.kg(self.stages.dataset.split.train_end), self.config.paths)

    @cached_property
    def scorer(self) -> tuple[MetapathAttention, Pretraining]:
        """The path scorer and its weights."""
        stage_one = self.stages.retrieval()
        graph = graph_paths(self.stages.kg(stage_one.fit_ends[0]), self.config.paths)
        examples = self.stages.queries(stage_one.examples[stage_one.examples.retrieved])
        scorer, result = path_scores.train(graph, self.config, examples)
        assert isinstance(scorer, MetapathAttention)
        return scorer, result

    @cached_property
    def towers(self) -> TextRetriever:
        """The towers of stage one, which read words."""
        towers = self.retriever.systems[TextRetriever.name]
        assert isinstance(towers, TextRetriever)
        return towers

    @cached_property
    def towers_with_encoder(self) -> TextRetriever:
        """Towers that read the encoder's vectors, too."""
        split, interactions = self.stages.dataset.split, self.stages.dataset.interactions
        training = interactions.first(split.train_end)
        texts = item_texts(interactions.items)
        return TextRetriever.learn(training, texts, self.vectors, seed=self.config.seed)


class MeanTowers(TextRetriever):
    """The mean of several towers' log-probabilities for another catalogue.

    Args:
        towers: trained on other catalogues.
        third: whose items are ranked.
    """

    def __init__(self, towers: Sequence[TextRetriever], third: Trained) -> None:
        texts, vectors = item_texts(third.stages.dataset.interactions.items), third.vectors.numpy()
        self.parts = [
            TextRetriever(t.towers, t.words, t.whitening, t.embed_texts(texts, _if(t, vectors)))
            for t in towers
        ]
        self.num_items = len(texts)

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The mean of the towers' log-probabilities, float32 ``[B, I]``."""
        return np.mean([part.evidence(histories) for part in self.parts], 0)


def _if(towers: TextRetriever, vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
    return None if towers.whitening is None else vectors


def transfer_scorer(scorer: MetapathAttention, graph: GraphPaths) -> MetapathAttention:
    """A trained scorer for another graph. Relations of the same name and ends keep what was learned of them.

    An unknown relation gets the mean embedding of the known ones, and counts for nothing in the profiles of items.

    Args:
        scorer: trained.
        graph: of the other data set.
    """
    metadata = graph.data.metadata()
    sizes = {kind: graph.data[kind].num_nodes for kind in metadata[0]}
    copy = MetapathAttention(metadata, sizes, graph.metapaths, scorer.dim, scorer.dropout)
    state = scorer.state_dict()
    known = {edge: row for row, edge in enumerate(scorer.relations)}
    mean = state["relation"].mean(0)
    relation = [state["relation"][known[e]] if e in known else mean for e in copy.relations]
    mine, theirs = ([e for e in m[1] if e[0] == "item"] for m in (metadata, scorer.metadata))
    columns = state["item.weight"].new_zeros(scorer.dim, len(mine))
    for column, edge in enumerate(mine):
        if edge in theirs:
            columns[:, column] = state["item.weight"][:, theirs.index(edge)]
    copy.load_state_dict({**state, "relation": torch.stack(relation), "item.weight": columns})
    return copy.eval()


def transfer_weights(others: Sequence[Trained], names: Sequence[str]) -> dict[str, float]:
    """The mean of fusion weights, half-way between rare and common items."""
    return {n: float(np.mean([o.retriever.weights[n] for o in others])) for n in names}


def transfer_graph(others: Sequence[Trained], third: GraphRetriever) -> GraphRetriever:
    """Counts with the mean weights of components of the same name; a component of no other set weighs nothing."""
    theirs = [o.retriever.systems[GraphRetriever.name] for o in others]
    weights = {}
    for name in third.components:
        known = [
            t.weights[name] for t in theirs if isinstance(t, GraphRetriever) and name in t.weights
        ]
        weights[name] = float(np.mean(known)) if known else 0.0
    return third.reweighted(weights)


@dataclass(frozen=True)
class Transfer:
    """One data set, and the others that it takes from."""

    third: Trained
    others: Sequence[Trained]

    def retrievers(self) -> dict[str, FusedRetriever]:
        """Stage one by row."""
        systems = self.third.retriever.systems
        graph = systems[GraphRetriever.name]
        assert isinstance(graph, GraphRetriever)
        counts = {n: s for n, s in systems.items() if n in SYSTEMS and n != TextRetriever.name}
        untrained = {**counts, graph.name: graph.reweighted(_untrained(graph))}
        taken = {**counts, graph.name: transfer_graph(self.others, graph)}
        words = MeanTowers([o.towers for o in self.others], self.third)
        encoder = MeanTowers([o.towers_with_encoder for o in self.others], self.third)
        weights = transfer_weights(self.others, SYSTEMS)
        without = {n: w for n, w in weights.items() if n != TextRetriever.name}
        return {
            "prior": FusedRetriever(untrained, dict.fromkeys(untrained, 1 / len(untrained))),
            "weights": FusedRetriever(taken, without),
            "weights and towers": FusedRetriever({**taken, words.name: words}, weights),
            "weights and towers with encoder": FusedRetriever(
                {**taken, encoder.name: encoder}, weights
            ),
            "towers alone": FusedRetriever({**taken, words.name: words}, {words.name: 1.0}),
            "towers with encoder alone": FusedRetriever(
                {**taken, encoder.name: encoder}, {encoder.name: 1.0}
            ),
            "in-domain": self.third.retriever,
        }

    def rescore(self, lists: CandidateLists, own: bool) -> NDArray[np.int64]:
        """Ranks of the targets by prior and path scorers, int64 ``[E]``.

        Args:
            lists: the prior's.
            own: by the scorer of the third set, not by those of the others.
        """
        queries = self.third.stages.queries(lists)
        total = np.zeros(queries.candidate_items.shape, np.float64)
        for trained in [self.third] if own else self.others:
            scorer, result = trained.scorer
            ready = scorer if own else transfer_scorer(scorer, self.third.graph)
            value = path_scores.scores(ready, self.third.graph, queries)
            prior = np.where(queries.candidate_items >= 0, queries.prior, 0)
            total += result.a * value + result.b * prior
        total[queries.candidate_items < 0] = -np.inf
        found = lists.retrieved
        place = np.maximum(queries.target, 0)
        mine = total[np.arange(len(total)), place][:, None]
        return np.where(found, (total >= mine).sum(1), MISSED)

    def measure(self, say: Callable[[str], None] = print) -> dict[str, Any]:
        """All rows on validation; gains are over ``prior``."""
        dataset = self.third.stages.dataset
        ranks: dict[str, NDArray[np.int64]] = {}
        for name, retriever in self.retrievers().items():
            lists = candidate_lists(
                retriever, dataset.interactions, dataset.split.val, self.third.config.retrieval.k
            )
            ranks[name] = lists.ranks[FusedRetriever.name]
            if name in ("prior", "weights and towers", "in-domain"):
                ranks[f"{name}, scorer"] = self.rescore(lists, name == "in-domain")
            say(f"{self.third.name}: {name}")
        user = dataset.split.val.user
        rows = [
            {"name": n, **figures(r, user, None if n == "prior" else ranks["prior"])}
            for n, r in ranks.items()
        ]
        return {"events": len(user), "from": [o.name for o in self.others], "rows": rows}


def _untrained(graph: GraphRetriever) -> dict[str, float]:
    """The weights that counts have before any fit."""
    return GraphRetriever(graph.relations, graph.itemitem, graph.popularity, graph.decay).weights


def measure(
    roots: dict[str, str], root: Path, seed: int, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Each data set as the third one.

    Args:
        roots: folders of data sets, by name.
        root: where stages are kept.
        seed: of everything.
        say: reports progress.
    """
    sets = [Trained.of(name, roots, root, seed) for name in SETS]
    return {
        third.name: Transfer(third, [o for o in sets if o is not third]).measure(say)
        for third in sets
    }
