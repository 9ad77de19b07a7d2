"""New and known items in one list: is a new item's score on the scale of the others?

A list has twenty known items, the best by today's fusion, and twenty new ones, the best by TF-IDF and metadata.
Rows are the weights of stage one's fusion: as they are fitted today; the same with a constant for items without
interactions (``retrieval.new_items``); fitted with pseudo-new targets among the events; and with weights of their own
for items without interactions (:func:`~benchmarks.language.rules.fit_new`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.language.cold import BEHAVIOUR
from benchmarks.language.evidence import DECAY, near_history, similarities, whitened
from benchmarks.language.logit import Lists, cross_validated, figures, ranks_of
from benchmarks.language.rules import Rule, fit_new
from lkgrag.retrieval.fusion.corner_fit import fit_corners
from lkgrag.retrieval.fusion.pools import make_pools
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.fusion.weights import fit_weights
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.ranks import MISSED, Seen, pessimistic_ranks, top_k
from lkgrag.retrieval.text.network import latest_items
from lkgrag.retrieval.text.retriever import TextRetriever

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from benchmarks.language.cold import Cold
    from lkgrag.data.splits.base import Events
    from lkgrag.retrieval.fusion.pools import Pools

#: Items of each kind in a list.
EACH = 20
#: Events that weights are fitted on, as in stage one; and known targets that are ranked.
FITTED, RANKED = 3000, 4000
#: Log-probability of an item that may not be proposed.
NEVER = -1e4
#: Histories that are scored at once.
BLOCK = 256
#: Values of ``retrieval.new_items``, in nats.
CONSTANTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)


#: Rows of evidence in lists: what each adds up.
EVIDENCE: dict[str, tuple[str, ...]] = {
    "fusion as today, and a constant": ("today",),
    "TF-IDF and a constant": ("tfidf mean", "tfidf nearest"),
    "base": ("today", "graph_itemitem", "text", "tfidf mean", "tfidf nearest"),
}
EVIDENCE["base + encoder"] = (*EVIDENCE["base"], "encoder mean", "encoder nearest")
EVIDENCE["base + permuted titles"] = (*EVIDENCE["base"], "permuted mean", "permuted nearest")


@dataclass
class Mixed:
    """Stage one of a world with new items, its weights, and their lists.

    Attributes:
        cold: the world.
        with_encoder: give the text towers the encoder's vectors.
    """

    cold: Cold
    with_encoder: bool = False

    @cached_property
    def text(self) -> TextRetriever:
        """The text towers, fitted once and kept in the folder."""
        folder = self.cold.folder / f"text-{'encoder' if self.with_encoder else 'words'}"
        if not (folder / "text.json").exists():
            data = self.cold.data.clone()
            if self.with_encoder:
                data["item"].x = torch.from_numpy(self.cold.encoded)
            folder.mkdir(parents=True, exist_ok=True)
            TextRetriever.fit(self.cold.world.training, data, seed=self.cold.config.seed).save(
                folder
            )
        return TextRetriever.load(folder)

    @cached_property
    def graph(self) -> GraphRetriever:
        """The graph's counts, weighed on held-back events."""
        graph = GraphRetriever.fit(
            self.cold.world.training, self.cold.data, decay=self.cold.config.retrieval.decay
        )
        count = graph.popularity.count
        pools = make_pools(
            lambda h: self._hide(graph.features(h), self.cold.world.new),
            graph.components,
            graph.leaders,
            self.cold.world.histories(self.held),
            self.held,
            count,
            True,
        )
        return graph.reweighted(fit_weights(pools, dict.fromkeys(graph.components, 0.0)))

    @cached_property
    def held(self) -> Events:
        """Held-back events without new targets, a sample as large as stage one's."""
        held = self.cold.world.held
        held = held[~self.cold.world.new[held.target]]
        rng = np.random.default_rng([self.cold.config.seed, 0xF1])
        return held[np.sort(rng.permutation(len(held))[:FITTED])]

    @cached_property
    def fused(self) -> FusedRetriever:
        """All systems; LRURec is left out, whose share beside the text towers is small."""
        training, config = self.cold.world.training, self.cold.config
        systems = {
            "popularity": PopularityRetriever.fit(training),
            "itemitem": ItemItemRetriever.fit(training, decay=config.retrieval.decay),
            "graph_itemitem": self.graph,
            "text": self.text,
        }
        return FusedRetriever(systems)

    @cached_property
    def pools(self) -> Pools:
        """Of the held-back events; new items are in none."""
        names, world = list(self.fused.systems), self.cold.world
        return make_pools(
            lambda h: self._hide(self.fused.features(h), world.new),
            names,
            names,
            world.histories(self.held),
            self.held,
            self.fused.popularity,
            True,
        )

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """The weights to compare, by name."""
        seed, even = self.cold.config.seed, self.fused.weights
        pools = self.pools
        today = fit_corners(pools[pools.count[pools.target] > 0], even, seed)
        with_pseudo = fit_corners(pools, even, seed)
        return {
            "today": Rule(today),
            **{f"today, new_items={c:g}": Rule(today, new_items=c) for c in CONSTANTS},
            "pseudo-new targets": Rule(with_pseudo),
            "own weights for new items": fit_new(pools, with_pseudo),
            "own weights for new items, today's for others": fit_new(pools, today),
        }

    def events(self, items: NDArray[np.bool_], most: int) -> Events:
        """Validation events with some targets, at most so many, each with a history."""
        val = self.cold.world.val
        val = val[items[val.target]]
        val = val[np.array([len(h) > 0 for h in self.cold.world.histories(val)], bool)]
        rng = np.random.default_rng([self.cold.config.seed, 0xF2])
        return val[np.sort(rng.permutation(len(val))[:most])]

    def ranks(self, events: Events) -> dict[str, dict[str, NDArray[np.int64]]]:
        """Ranks of the targets by each rule: ``catalogue``, among all items, and ``list``, among the forty.

        A target that was not proposed has the rank :data:`~lkgrag.retrieval.ranks.MISSED` in its list.
        """
        world, histories = self.cold.world, self.cold.world.histories(events)
        out = {
            where: {name: np.zeros(len(events), np.int64) for name in self.rules}
            for where in ("catalogue", "list")
        }
        for start in range(0, len(events), BLOCK):
            part = slice(start, start + BLOCK)
            seen, target = Seen.of(histories[part]), events.target[part]
            features = self._hide(self.fused.features(histories[part]), world.pseudo)
            scores = {n: r(self.fused, features, histories[part]) for n, r in self.rules.items()}
            for values in scores.values():
                values[:, world.pseudo] = NEVER
            forty = self._forty(scores["today"], histories[part])
            hit = forty == target[:, None]
            for name, values in scores.items():
                out["catalogue"][name][part] = pessimistic_ranks(values, target, seen)
                mine = values[np.arange(len(target)), target][:, None]
                ahead = (np.take_along_axis(values, forty, 1) >= mine).sum(1)
                out["list"][name][part] = np.where(hit.any(1), ahead, MISSED)
        return out

    def measure(self) -> dict[str, Any]:
        """The figures of each rule for new targets and for known ones; gains are over today's weights."""
        result: dict[str, Any] = {}
        hidden = self.cold.world.hidden
        for kind, items, most in (
            ("new", self.cold.world.new, len(hidden) * 100),
            ("known", ~hidden, RANKED),
        ):
            events = self.events(items, most)
            ranks = self.ranks(events)
            proposed = (ranks["list"]["today"] < MISSED).mean()
            result[kind] = {"events": len(events), "proposed": float(proposed)}
            for where, by_rule in ranks.items():
                base = by_rule["today"]
                result[kind][where] = [
                    {"name": n, **figures(r, events.user, None if n == "today" else base)}
                    for n, r in by_rule.items()
                ]
        result["weights"] = {
            name: {
                "corners": rule.corners.to_dict(),
                "new": None if rule.new is None else rule.new.tolist(),
            }
            for name, rule in self.rules.items()
        }
        return result

    def measure_evidence(self) -> dict[str, Any]:
        """Rows of evidence in lists of forty, for all validation events but those of pseudo-new targets.

        Weights are a conditional logit's over other users, one for known and one for new items each, with a
        constant for new ones.

        Returns:
            By row the figures of new, of known and of all targets; gains of the last rows are over ``base``.
        """
        events = self.events(~self.cold.world.pseudo, len(self.cold.world.val))
        lists, hit, gathered = self._lists(events)
        is_new = self.cold.world.new[events.target]
        ranks: dict[str, NDArray[np.int64]] = {}
        for name, kinds in EVIDENCE.items():
            values = [
                x for kind in kinds for x in (gathered[kind], gathered[kind] * gathered["new"])
            ]
            scores, _ = cross_validated(lists, [*values, gathered["new"]], self.cold.config.seed)
            ranks[name] = np.full(len(events), MISSED)
            ranks[name][hit] = ranks_of(scores, lists)
        out: dict[str, Any] = {"events": len(events), "rows": []}
        for name, rank in ranks.items():
            row: dict[str, Any] = {"name": name}
            for kind, part in (("new", is_new), ("known", ~is_new), ("all", is_new | True)):
                against = ranks["base"][part] if name.startswith("base +") else None
                row[kind] = figures(rank[part], events.user[part], against)
            out["rows"].append(row)
        return out

    def _lists(
        self, events: Events
    ) -> tuple[Lists, NDArray[np.bool_], dict[str, NDArray[np.float32]]]:
        """The lists that hold their target; which ones do, bool ``[E]``; and their evidence, ``[H, C]`` each."""
        world, histories = self.cold.world, self.cold.world.histories(events)
        white = whitened(self.cold.encoded)
        parts: dict[str, list[NDArray[np.float32]]] = {}
        forty = np.zeros((len(events), 2 * EACH), np.int64)
        for start in range(0, len(events), BLOCK):
            part = slice(start, start + BLOCK)
            features = self._hide(self.fused.features(histories[part]), world.pseudo)
            today = self.rules["today"](self.fused, features, histories[part])
            forty[part] = self._forty(today, histories[part])
            latest = latest_items(histories[part])
            block = {"today": np.take_along_axis(today, forty[part], 1)}
            for name, values in features.items():
                block[name] = np.take_along_axis(values, forty[part], 1)
            for name, vectors in (
                ("tfidf", self.cold.rows),
                ("encoder", white),
                ("permuted", white[self.cold.permutation]),
            ):
                block |= _near_lists(vectors, latest, forty[part], name)
            for name, values in block.items():
                parts.setdefault(name, []).append(values.astype(np.float32))
        hits = forty == events.target[:, None]
        hit = hits.any(1)
        gathered = {name: np.concatenate(blocks)[hit] for name, blocks in parts.items()}
        gathered["new"] = world.new[forty[hit]].astype(np.float32)
        lists = Lists(
            hits[hit].argmax(1), events.user[hit], np.ones((int(hit.sum()), 2 * EACH), bool)
        )
        return lists, hit, gathered

    def _forty(
        self, scores: NDArray[np.float32], histories: list[NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """The best known items by scores ``[B, I]``, then the new ones that are proposed; int64 ``[B, 40]``."""
        known = scores.copy()
        known[:, self.cold.world.hidden] = NEVER
        best, _ = top_k(known, EACH, Seen.of(histories), self.fused.turn)
        return np.concatenate([best, self._proposed(histories)], 1)

    def _proposed(self, histories: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        """The new items of each list, by TF-IDF and metadata of equal spread; int64 ``[B, EACH]``."""
        near = near_history(self._table, latest_items(histories), "tfidf")
        known = {n for n in self.graph.components if not n.startswith(BEHAVIOUR)}
        counts = self.graph.features(histories, known)
        evidence = [*near.values(), *(block[:, self.cold.items] for block in counts.values())]
        total = sum((x - x.mean()) / (x.std() or 1.0) for x in evidence)
        best = np.argsort(-np.asarray(total), axis=1, kind="stable")[:, :EACH]
        return self.cold.items[best]

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return similarities(self.cold.rows, self.cold.items)

    @staticmethod
    def _hide(
        features: dict[str, NDArray[np.float32]], items: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float32]]:
        """The features with some items out of reach, in place."""
        for values in features.values():
            values[:, items] = NEVER
        return features


def _near_lists(
    vectors: NDArray[np.float32] | sparse.csr_matrix,
    latest: NDArray[np.int64],
    items: NDArray[np.int64],
    name: str,
) -> dict[str, NDArray[np.float32]]:
    """As :func:`~benchmarks.language.evidence.near_history`, of each list's own items ``[B, C]``."""
    mean, nearest = np.zeros((2, *items.shape), np.float32)
    for row, (history, candidates) in enumerate(zip(latest, items, strict=True)):
        past = history[history >= 0]
        if len(past):
            near = similarities_of(vectors, past, candidates)
            shares = DECAY ** np.arange(len(past))
            mean[row] = shares / shares.sum() @ near
            nearest[row] = near.max(0)
    return {f"{name} mean": mean, f"{name} nearest": nearest}


def similarities_of(
    vectors: NDArray[np.float32] | sparse.csr_matrix,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Products of the vectors of some items with those of others, float32 ``[M, N]``."""
    out = vectors[first] @ vectors[second].T
    return np.asarray(out if isinstance(out, np.ndarray) else out.toarray(), np.float32)
