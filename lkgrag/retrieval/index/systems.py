"""The systems of stage one, asked about some items only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.index.counts import CountRows, GraphRows, graph_rows, itemitem_rows
from lkgrag.retrieval.index.products import inner_products
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever
from lkgrag.retrieval.lrurec.scoring import encode_histories
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.text.retriever import TextRetriever

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.retrieval.fusion.retriever import FusedRetriever

#: Systems whose items can be found without a score of each.
KINDS: dict[str, type] = {
    cls.name: cls
    for cls in (
        LRURecRetriever,
        PopularityRetriever,
        ItemItemRetriever,
        GraphRetriever,
        TextRetriever,
    )
}
#: Items whose mean stands for the rest of the catalogue in the sum of a softmax.
SAMPLED = 8_192


@dataclass(frozen=True)
class VectorSystem:
    """A system whose logits are inner products.

    Attributes:
        name: of the system.
        items: float32 ``[I, d]``.
        bias: float32 ``[I]``, added to the logits.
        system: that the vectors are of.
    """

    name: str
    items: NDArray[np.float32]
    bias: NDArray[np.float32]
    system: LRURecRetriever | TextRetriever

    def ask(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The vectors of histories, float32 ``[B, d]``."""
        if isinstance(self.system, LRURecRetriever):
            return encode_histories(self.system.model, histories, self.system.max_len)
        return self.system.encode(histories)

    def logits(
        self, states: NDArray[np.float32], row: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Logits of pairs, float32 ``[N]``.

        Args:
            states: float32 ``[B, d]``, of histories.
            row: int64 ``[N]``, the history of each pair.
            item: int64 ``[N]``, the item.
        """
        return inner_products(self.items, states, row, item) + self.bias[item]


@dataclass(frozen=True)
class Asked:
    """What the systems say of ``B`` histories before any item is looked at.

    Attributes:
        histories: none is empty.
        rare: by system, float32 ``[B]``, its weight for a rare item; 0 for a system that is not fused.
        more: likewise, how much greater it is for a common item.
        states: by vector system, float32 ``[B, d]``.
        sampled: by vector system, float32 ``[B, S]``, the logits of sampled items.
        normalisers: by vector system, float32 ``[B]``, the logarithm of the sum over all items, estimated from the sample.
        itemitem: the counts of ``itemitem``; None where it is not fused.
        graph: the counts of each component of ``graph_itemitem``, as it weighs them; None where it is not fused.
    """

    histories: list[NDArray[np.int64]]
    rare: dict[str, NDArray[np.float32]]
    more: dict[str, NDArray[np.float32]]
    states: dict[str, NDArray[np.float32]]
    sampled: dict[str, NDArray[np.float32]]
    normalisers: dict[str, NDArray[np.float32]]
    itemitem: CountRows | None
    graph: GraphRows | None

    @property
    def itemitem_floor(self) -> NDArray[np.float32]:
        """What ``itemitem`` says of an item without counts, float32 ``[B]``."""
        none = np.zeros(len(self.histories), np.float32)
        return none if self.itemitem is None else self.itemitem.floor

    @property
    def graph_floor(self) -> NDArray[np.float32]:
        """What ``graph_itemitem`` says of an item without counts beside its popularity, float32 ``[B]``."""
        none = np.zeros(len(self.histories), np.float32)
        return none if self.graph is None else self.graph.floor

    @property
    def popularity_in_graph(self) -> np.float32:
        """The weight of popularity within ``graph_itemitem``."""
        return np.float32(0) if self.graph is None else self.graph.of_popularity


class IndexedSystems:
    """The systems of a fused retriever. Use :func:`unfit_system` first.

    Args:
        retriever: with systems of :data:`KINDS` only.
        seed: of the sample that stands for the catalogue.
    """

    def __init__(self, retriever: FusedRetriever, seed: int) -> None:
        self.retriever = retriever
        self.num_items = retriever.num_items
        self.popularity = retriever.popularity
        self.new_items = np.float32(retriever.new_items)
        self.used = [name for name, weight in retriever.weights.items() if weight != 0]
        popularity = retriever.systems[PopularityRetriever.name]
        assert isinstance(popularity, PopularityRetriever)
        self.log_popularity = popularity.evidence([np.zeros(0, np.int64)])[0]
        self.commonness = retriever.corners.commonness(self.popularity).astype(np.float32)
        self.vectors = [_vectors(retriever, n) for n in self.used if n in VECTORS]
        rng = np.random.default_rng([seed, 0x5A])
        number = min(SAMPLED, self.num_items)
        self.sample = np.sort(rng.choice(self.num_items, number, replace=False))
        self._place = np.full(self.num_items, -1, np.int64)
        self._place[self.sample] = np.arange(number)

    @cached_property
    def _tables(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Vectors and biases of the sample, by system."""
        return {
            v.name: (torch.from_numpy(v.items[self.sample]), torch.from_numpy(v.bias[self.sample]))
            for v in self.vectors
        }

    @cached_property
    def _graph_mass(self) -> float:
        """The logarithm of the sum of what popularity alone gives to all items within ``graph_itemitem``."""
        graph = self.retriever.systems[GraphRetriever.name]
        assert isinstance(graph, GraphRetriever)
        weight = graph.weights.get(PopularityRetriever.name, 0.0)
        return float(np.logaddexp.reduce(weight * self.log_popularity.astype(np.float64)))

    def ask(self, histories: list[NDArray[np.int64]]) -> Asked:
        """Encode histories, and read their rows of the counts.

        Args:
            histories: item indices, oldest first; none is empty.
        """
        rare, more = self.retriever.corners.of_lengths([len(h) for h in histories])
        none = dict.fromkeys(KINDS, np.zeros(len(histories), np.float32))
        names = list(self.retriever.corners.corners)
        states = {v.name: v.ask(histories) for v in self.vectors}
        sampled = {name: self._sampled(name, state) for name, state in states.items()}
        itemitem, graph = self.retriever.systems.get("itemitem"), None
        if GraphRetriever.name in self.used:
            system = self.retriever.systems[GraphRetriever.name]
            assert isinstance(system, GraphRetriever)
            graph = graph_rows(system, histories, self.log_popularity, self._graph_mass)
        return Asked(
            histories,
            {**none, **{n: w[:, 0] for n, w in zip(names, rare, strict=True)}},
            {**none, **{n: w[:, 0] for n, w in zip(names, more, strict=True)}},
            states,
            sampled,
            {name: self._normaliser(logits) for name, logits in sampled.items()},
            itemitem_rows(itemitem, histories)
            if isinstance(itemitem, ItemItemRetriever) and "itemitem" in self.used
            else None,
            graph,
        )

    def _sampled(self, name: str, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of the sampled items, float32 ``[B, S]``."""
        items, bias = self._tables[name]
        return torch.addmm(bias, torch.from_numpy(states), items.T).numpy()

    def _normaliser(self, sampled: NDArray[np.float32]) -> NDArray[np.float32]:
        """The logarithm of the sum over all items, as the sample tells, float32 ``[B]``."""
        rest = np.log(self.num_items / sampled.shape[1])
        return (torch.logsumexp(torch.from_numpy(sampled), 1).numpy() + rest).astype(np.float32)

    def score(
        self, asked: Asked, row: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The fused scores of pairs of a history and an item, float32 ``[N]``.

        They equal those of :meth:`FusedRetriever.score`, up to rounding and the softmax sums of ``lrurec`` and ``text``. Such
        a sum is that over the pairs of the history, plus the mean of the sampled other items times their number. It is
        whole where the sample holds all items.

        Args:
            asked: of the histories.
            row: int64 ``[N]``, the history of each pair; rising.
            item: int64 ``[N]``, each once for a history.
        """
        total = np.zeros(len(item), np.float32)
        rise = np.zeros(len(item), np.float32)
        for name in self.used:
            feature = self._feature(name, asked, row, item)
            total += asked.rare[name][row] * feature
            rise += asked.more[name][row] * feature
        if not self.retriever.corners.is_constant:
            total += rise * self.commonness[item]
        if self.new_items != 0:
            total[self.popularity[item] == 0] += self.new_items
        return total

    def count_evidence(
        self, asked: Asked, row: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The part of :meth:`score` that the count systems give, float32 ``[N]``."""
        total = np.zeros(len(item), np.float32)
        for name in self.used:
            if name not in VECTORS:
                weight = asked.rare[name][row] + asked.more[name][row] * self.commonness[item]
                total += weight * self._feature(name, asked, row, item)
        return total

    def _feature(
        self, name: str, asked: Asked, row: NDArray[np.int64], item: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The log-probabilities of a system, float32 ``[N]``."""
        if name == PopularityRetriever.name:
            return self.log_popularity[item]
        if name == ItemItemRetriever.name:
            assert asked.itemitem is not None
            return asked.itemitem.shares(row, item)
        if name == GraphRetriever.name:
            assert asked.graph is not None
            return asked.graph.evidence(row, item)
        system = next(v for v in self.vectors if v.name == name)
        logits = system.logits(asked.states[name], row, item)
        return logits - self._whole(asked.sampled[name], logits, row, item)[row]

    def _whole(
        self,
        sampled: NDArray[np.float32],
        logits: NDArray[np.float32],
        row: NDArray[np.int64],
        item: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """The logarithm of the sum over all items, float32 ``[B]``: known pairs, and the sample for the others."""
        number = len(sampled)
        others = sampled.copy()
        place = self._place[item]
        is_drawn = place >= 0
        others[row[is_drawn], place[is_drawn]] = -np.inf
        drawn = sampled.shape[1] - np.bincount(row[is_drawn], minlength=number)
        left = self.num_items - np.bincount(row, minlength=number)
        top = np.full(number, -np.inf, np.float32)
        np.maximum.at(top, row, logits)
        top = np.maximum(top, sampled.max(1))
        known = np.bincount(row, np.exp((logits - top[row]).astype(np.float64)), number)
        rest = np.exp(others - top[:, None]).sum(1, dtype=np.float64)
        rest *= np.where(drawn > 0, left / np.maximum(drawn, 1), 0.0)
        return (top + np.log(known + rest)).astype(np.float32)


#: Systems whose logits are inner products.
VECTORS = (LRURecRetriever.name, TextRetriever.name)


def _vectors(retriever: FusedRetriever, name: str) -> VectorSystem:
    """The vectors of a system."""
    system = retriever.systems[name]
    if isinstance(system, LRURecRetriever):
        model = system.model
        items = model.embedding.weight.detach().cpu().numpy()[: system.num_items]
        bias = model.bias.detach().cpu().numpy()
        return VectorSystem(name, items, bias, system)
    assert isinstance(system, TextRetriever)
    none = np.zeros(system.num_items, np.float32)
    return VectorSystem(name, system.vectors, none, system)


def unfit_system(retriever: FusedRetriever) -> str | None:
    """The name of a fused system that scores every item by itself; None where there is none."""
    for name, weight in retriever.weights.items():
        if weight != 0 and type(retriever.systems[name]) is not KINDS.get(name):
            return name
    return None
