r"""The fused retriever: few weights over the systems' log-probabilities.

:math:`score(j) = \sum_s w_s(n_j, |h|) \log p_s(j)` with :math:`w_s \ge 0`, which may depend on the item's training
count :math:`n_j` and on the history's length. The weights are those of a multinomial logistic regression over the
items that any system ranks high, fitted on events that no system has seen in training.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lkgrag.errors import LkgragError
from lkgrag.retrieval.base import Retriever, ask_evidence, rows_per_block
from lkgrag.retrieval.custom import load_custom, save_custom
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.ranks import Seen, tie_order, top_k
from lkgrag.retrieval.resolver import SYSTEMS
from lkgrag.utils.files import read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Proposer(Protocol):
    """Proposes items without a score of every item."""

    def propose(
        self,
        histories: list[NDArray[np.int64]],
        k: int,
        allowed: NDArray[np.bool_] | None,
        mask_seen: bool,
        turn: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
        """Items and scores as of :meth:`FusedRetriever.propose`, and bool ``[B]``: whether a list is whole."""


class FusedRetriever(Retriever):
    """The systems of stage one and their fusion.

    Args:
        systems: by name; ``popularity`` must be among them, for ties and empty histories.
        weights: of the systems' log-probabilities, constant or by count and length; even by default.
        mask_seen: never propose an item of the history.
        custom: for each custom system its element of ``retrieval.systems``.
        new_items: added to the scores of items without training interactions, in nats.

    Attributes:
        weights: by system, half-way between the corners of :attr:`corners`.
        corners: the weights by count and length.
        index: proposes items without a score of every item; None: all are scored.
    """

    name = "retriever"
    # Rankers that an older version pickled have none.
    index: Proposer | None = None

    def __init__(
        self,
        systems: Mapping[str, Retriever],
        weights: Mapping[str, float] | CornerWeights | None = None,
        mask_seen: bool = True,
        custom: dict[str, str] | None = None,
        new_items: float = 0.0,
    ) -> None:
        popularity = systems[PopularityRetriever.name]
        assert isinstance(popularity, PopularityRetriever)
        self.systems = dict(systems)
        self.popularity: NDArray[np.int64] = popularity.count
        self.num_items = len(self.popularity)
        given = weights or dict.fromkeys(systems, 1.0 / len(systems))
        self.corners = given if isinstance(given, CornerWeights) else CornerWeights.constant(given)
        self.weights = self.corners.middle
        self.mask_seen = mask_seen
        self.custom = custom or {}
        self.new_items = new_items

    @cached_property
    def turn(self) -> NDArray[np.int64]:
        """The order of ties, int64 ``[I]``; see :func:`~lkgrag.retrieval.ranks.tie_order`."""
        return tie_order(self.popularity)

    @cached_property
    def _commonness(self) -> NDArray[np.float32]:
        """How common each item is, float32 ``[I]``; see :meth:`CornerWeights.commonness`."""
        return self.corners.commonness(self.popularity).astype(np.float32)

    def replaced(self, systems: Mapping[str, Retriever]) -> FusedRetriever:
        """Other systems of the same names with the same weights, without an index."""
        return FusedRetriever(systems, self.corners, self.mask_seen, self.custom, self.new_items)

    def features(
        self, histories: list[NDArray[np.int64]], only: set[str] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Each fused system's log-probabilities.

        Args:
            histories: ``B`` arrays of item indices, oldest first.
            only: names of systems (default: all that are fused).

        Returns:
            float32 ``[B, I]`` by name.
        """
        wanted = [name for name in self.weights if only is None or name in only]
        return {name: ask_evidence(self.systems[name], histories) for name in wanted}

    def fuse(
        self,
        features: dict[str, NDArray[np.float32]],
        histories: list[NDArray[np.int64]],
    ) -> NDArray[np.float32]:
        """Weigh the features, float32 ``[B, I]``; an empty history gets popularity's log-probabilities.

        A system of weight 0 may be left out of ``features``.
        """
        total = np.zeros((len(histories), self.num_items), np.float32)
        rare, more = self.corners.of_lengths([len(h) for h in histories])
        for (name, weight), of_rare in zip(self.weights.items(), rare, strict=True):
            if weight != 0:
                total += of_rare * features[name]
        if not self.corners.is_constant:
            # What a common item has more than a rare one: as a sum over systems it meets the counts only once.
            rise = np.zeros_like(total)
            for (name, weight), of_common in zip(self.weights.items(), more, strict=True):
                if weight != 0:
                    rise += of_common * features[name]
            rise *= self._commonness
            total += rise
        if self.new_items != 0:
            total[:, self.popularity == 0] += np.float32(self.new_items)
        empty = np.array([len(h) == 0 for h in histories], bool)
        if empty.any():
            popularity = self.systems[PopularityRetriever.name]
            total[empty] = popularity.evidence([np.zeros(0, np.int64)])
        return total

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """The fused scores of all items; seen items are not masked."""
        used = {name for name, weight in self.weights.items() if weight != 0}
        return self.fuse(self.features(histories, used), histories)

    def propose(
        self,
        histories: list[NDArray[np.int64]],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The best ``k`` items for each history, in blocks, so that memory does not grow with the users.

        Args:
            histories: item indices, oldest first; an empty one gets the most popular items.
            k: length of the lists.
            allowed: bool ``[I]``, the items that may be proposed; None for all.

        Returns:
            Items int64 ``[B, k]``, best first, -1 where there are fewer; scores float32 ``[B, k]``,
            -inf there. Ties go to the more popular item, then to the smaller index.
        """
        if self.index is None or k < 1:
            return self._propose_exactly(histories, k, allowed)
        found = self.index.propose(histories, k, allowed, self.mask_seen, self.turn)
        items, scores, is_whole = found
        rest = np.flatnonzero(~is_whole)
        if len(rest):
            some = [histories[row] for row in rest]
            items[rest], scores[rest] = self._propose_exactly(some, k, allowed)
        return items, scores

    def _propose_exactly(
        self, histories: list[NDArray[np.int64]], k: int, allowed: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Propose by the scores of all items; as of :meth:`propose`."""
        items = np.full((len(histories), k), -1, np.int64)
        scores = np.full((len(histories), k), -np.inf, np.float32)
        step = rows_per_block(self.num_items, len(self.systems))
        for start in range(0, len(histories), step):
            part = slice(start, start + step)
            seen = Seen.of(histories[part], self.mask_seen)
            block = self.score(histories[part])
            if allowed is not None:
                block[:, ~allowed] = -np.inf
            items[part], scores[part] = top_k(block, k, seen, self.turn)
        return items, scores

    def with_index(self, index: Proposer | None) -> FusedRetriever:
        """The same systems and weights, which propose by an index; None: by the scores of all items."""
        same = self.replaced(self.systems)
        same.index = index
        return same

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``retriever.json``, and each system into a folder of its name.

        Raises:
            ConfigError: a custom system cannot be saved, or its scores differ afterwards.
        """
        for name, system in self.systems.items():
            if name in self.custom:
                save_custom(system, Path(folder) / name, self.custom[name])
            else:
                system.save(Path(folder) / name)
        meta = {
            "systems": list(self.systems),
            "weights": self.weights,
            **({} if self.corners.is_constant else {"by_count": self.corners.to_dict()}),
            "mask_seen": self.mask_seen,
            **({"new_items": self.new_items} if self.new_items else {}),
            "own": self.custom,
        }
        write_json(Path(folder) / "retriever.json", meta)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FusedRetriever:
        """Read all systems.

        Raises:
            LkgragError: a file is missing or broken, or the class of a custom system is not available.
        """
        path = Path(folder) / "retriever.json"
        meta = read_json(path)
        needed = {"systems", "weights", "mask_seen"}
        if not isinstance(meta, dict) or not needed <= meta.keys():
            raise LkgragError(f"{path}: it describes no retriever; get the folder again")
        custom = meta.get("own", {})
        systems = {
            name: load_custom(Path(folder) / name, custom[name])
            if name in custom
            else SYSTEMS[name].load(Path(folder) / name)
            for name in meta["systems"]
        }
        # Without it the weights are constant, as older versions' are.
        by_count = meta.get("by_count")
        weights = CornerWeights.from_dict(by_count) if by_count else meta["weights"]
        return cls(systems, weights, meta["mask_seen"], custom, meta.get("new_items", 0.0))
