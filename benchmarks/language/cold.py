"""New items ranked among themselves: which evidence finds an item that nobody has chosen yet.

Every row is a sum of evidence, weighted by a conditional logit over other users' events. ``base`` is all that needs
no language model; the encoder and its controls are added to that same base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.language import path_scores
from benchmarks.language.deletion import without
from benchmarks.language.evidence import (
    LATEST,
    lsa,
    near_history,
    random_projection,
    similarities,
    value_popularity,
    whitened,
)
from benchmarks.language.logit import Lists, cross_validated, figures, ranks_of
from benchmarks.language.tuning import tuned_vectors
from lkgrag.data.queries import Queries
from lkgrag.kg import build_kg
from lkgrag.paths import graph_paths
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.text.network import Features, latest_items
from lkgrag.retrieval.text.training import train_towers
from lkgrag.text import Words, item_texts

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy import sparse
    from torch_geometric.data import HeteroData

    from benchmarks.language.deletion import World
    from benchmarks.language.evidence import Evidence
    from lkgrag.config import Config
    from lkgrag.data.splits.base import Events

#: Relations of the graph that behaviour makes: a new item has none.
BEHAVIOUR = ("followed_by", "rev_followed_by", "co_rated", "itemitem", "popularity", "rev_rated")
#: Training lists of pseudo-new targets, and their candidates, drawn evenly.
EXAMPLES, CANDIDATES = 6000, 50
#: Histories that are scored at once.
BLOCK = 512
#: The rows: which evidence each adds up. A name ends where a kind of similarity (mean, nearest) begins.
ROWS: dict[str, tuple[str, ...]] = {
    "popularity of brand and category": ("values",),
    "TF-IDF": ("tfidf",),
    "metadata counts": ("metadata",),
    "path scorer": ("scorer",),
    "learned words": ("words tower",),
    "encoder": ("encoder",),
    "towers with encoder": ("encoder tower",),
}
#: All that needs no language model.
BASE = ("values", "tfidf", "metadata", "scorer", "words tower")
#: What is added to the base: the language model's evidence, then its controls.
ADDED: dict[str, tuple[str, ...]] = {
    "base + encoder, frozen": ("encoder",),
    "base + learned map of the encoder": ("map",),
    "base + towers with encoder": ("encoder tower",),
    "base + encoder, fine-tuned": ("tuned",),
    "base + towers with the fine-tuned encoder": ("tuned tower",),
    "all": ("encoder", "map", "encoder tower"),
    "all, and fine-tuned": ("encoder", "map", "encoder tower", "tuned", "tuned tower"),
}
CONTROLS: dict[str, tuple[str, ...]] = {
    "base + LSA": ("lsa",),
    "base + random projection": ("random",),
    "base + permuted titles, frozen": ("permuted",),
    "base + permuted titles, all": ("permuted", "permuted map", "permuted tower"),
    "base + permuted titles, fine-tuned": ("permuted tuned",),
    "base + encoder of random weights": ("untrained",),
    "base + encoder of random weights, fine-tuned": ("random tuned",),
    "base + towers with it": ("random tuned tower",),
    "base + both": ("random tuned", "random tuned tower"),
}
#: Of random weights, with the same training: it learns words from choices, and knows no language.
UNTAUGHT = ("random tuned", "random tuned tower")
#: What is added, and to what beside the base: the language that an encoder of random weights cannot have learned.
BEYOND: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "all, and fine-tuned, beside random weights": (
        ADDED["all, and fine-tuned"] + UNTAUGHT,
        UNTAUGHT,
    ),
}
#: What the same events are worth where the new items' interactions were never deleted.
CEILING = {"warm ceiling": ("behaviour",)}


@dataclass
class Cold:
    """All evidence for the new items, each kind computed once and kept in a folder.

    Attributes:
        world: the data and what is deleted.
        config: options of graph, paths and scorer, and the seed.
        encoded: vectors of the items' texts by the encoder, float32 ``[I, D]``.
        folder: of what was computed already.
    """

    world: World
    config: Config
    encoded: NDArray[np.float32]
    folder: Path

    @cached_property
    def events(self) -> Events:
        """Validation and held-back events with a new target."""
        events = self.world.events(self.world.new)
        return events[np.array([len(h) > 0 for h in self.world.histories(events)], bool)]

    @cached_property
    def items(self) -> NDArray[np.int64]:
        """The new items, int64 ``[N]``."""
        return np.flatnonzero(self.world.new)

    @cached_property
    def histories(self) -> list[NDArray[np.int64]]:
        """Of the events, without hidden items."""
        return self.world.histories(self.events)

    @cached_property
    def latest(self) -> NDArray[np.int64]:
        """The latest items of the histories, int64 ``[E, LATEST]``."""
        return latest_items(self.histories)[:, :LATEST]

    @cached_property
    def lists(self) -> Lists:
        """The events, each with all new items as candidates."""
        target = np.searchsorted(self.items, self.events.target)
        return Lists(target, self.events.user, np.ones((len(target), len(self.items)), bool))

    @cached_property
    def texts(self) -> list[str]:
        """Of all items."""
        return item_texts(self.world.whole.items)

    @cached_property
    def words(self) -> Words:
        """Of the catalogue."""
        return Words.of(self.texts)

    @cached_property
    def rows(self) -> sparse.csr_matrix:
        """TF-IDF rows of the texts."""
        return self.words.rows(self.texts)

    @cached_property
    def data(self) -> HeteroData:
        """The graph, in which neither new nor pseudo-new items have behaviour."""
        training = self.world.training
        return build_kg(training, np.diff(training.indptr), self.config.kg)

    @cached_property
    def permutation(self) -> NDArray[np.int64]:
        """Another item's text for each item, int64 ``[I]``."""
        rng = np.random.default_rng([self.config.seed, 0x9E12])
        return rng.permutation(len(self.texts))

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Evidence]]:
        white = self._white
        return {
            "values": self._values,
            "behaviour": self._behaviour,
            "tfidf": lambda: self._near(self.rows, "tfidf"),
            "metadata": self._metadata,
            "scorer": self._scorer,
            "words tower": lambda: self._tower(self.rows, None, "words tower"),
            "encoder": lambda: self._near(white, "encoder"),
            "map": lambda: self._tower(None, white, "map"),
            "encoder tower": lambda: self._tower(self.rows, white, "encoder tower"),
            "tuned": lambda: self._near(self._tuned("real"), "tuned"),
            "tuned tower": lambda: self._tower(self.rows, self._tuned("real"), "tuned tower"),
            "permuted tuned": lambda: self._near(self._tuned("permuted"), "permuted tuned"),
            "untrained": lambda: self._near(self._tuned("untrained"), "untrained"),
            "random tuned": lambda: self._near(self._tuned("random"), "random tuned"),
            "random tuned tower": lambda: self._tower(
                self.rows, self._tuned("random"), "random tuned tower"
            ),
            "lsa": lambda: self._near(lsa(self.rows, self.config.seed), "lsa"),
            "random": lambda: self._near(random_projection(self.rows, self.config.seed), "random"),
            "permuted": lambda: self._near(white[self.permutation], "permuted"),
            "permuted map": lambda: self._tower(None, white[self.permutation], "permuted map"),
            "permuted tower": lambda: self._tower(
                self.rows[self.permutation], white[self.permutation], "permuted tower"
            ),
        }

    @cached_property
    def _white(self) -> NDArray[np.float32]:
        return whitened(self.encoded)

    def _tuned(self, kind: str) -> NDArray[np.float32]:
        texts = self.texts
        if kind == "permuted":
            texts = [texts[i] for i in self.permutation]
        training, seed = self.world.training, self.config.seed
        return whitened(tuned_vectors(training, texts, self.folder, kind, seed))

    def kind(self, name: str) -> Evidence:
        """The evidence of one kind, by name, float32 ``[E, N]`` each."""
        file = self.folder / f"{name.replace(' ', '-')}.npz"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            made = {k: v.astype(np.float16) for k, v in self._makers[name]().items()}
            # The stubs fear that a name is `allow_pickle`, which older versions of NumPy do not know.
            np.savez(file, **made)  # type: ignore[arg-type]
        with np.load(file) as stored:
            return {key: stored[key].astype(np.float32) for key in stored}

    def ranks(self, kinds: tuple[str, ...]) -> NDArray[np.int64]:
        """Ranks of the targets by the sum of several kinds of evidence, int64 ``[E]``."""
        evidence = [x for kind in kinds for x in self.kind(kind).values()]
        scores, _ = cross_validated(self.lists, evidence, self.config.seed)
        return ranks_of(scores, self.lists)

    def _near(self, vectors: NDArray[np.float32] | sparse.csr_matrix, name: str) -> Evidence:
        return near_history(similarities(vectors, self.items), self.latest, name)

    def _values(self) -> Evidence:
        near = ItemItemRetriever.fit(self.world.training, decay=self.config.retrieval.decay)
        shares = np.exp(near.evidence(self.histories))
        factors = GraphRetriever.fit(self.world.training, self.data, decay=1.0).relations
        return {
            name: value_popularity(parts[0], shares, self.items)
            for name, parts in factors.items()
            if len(parts) == 2
        }

    def _metadata(self) -> Evidence:
        graph = GraphRetriever.fit(
            self.world.training, self.data, decay=self.config.retrieval.decay
        )
        known = {n for n in graph.components if not n.startswith(BEHAVIOUR)}
        return self._counts(graph, known)

    def _behaviour(self) -> Evidence:
        """What the graph counts where nothing is deleted but the held-back interactions."""
        world, config = self.world, self.config
        warm = without(world.whole, world.fit_end, np.zeros_like(world.new))
        data = build_kg(warm, np.diff(warm.indptr), config.kg)
        graph = GraphRetriever.fit(warm, data, decay=config.retrieval.decay)
        return self._counts(graph, set(graph.components))

    def _counts(self, graph: GraphRetriever, names: set[str]) -> Evidence:
        """Components of a graph for the new items, in blocks of events."""
        blocks: dict[str, list[NDArray[np.float32]]] = {}
        for start in range(0, len(self.histories), BLOCK):
            for name, block in graph.features(self.histories[start : start + BLOCK], names).items():
                blocks.setdefault(name, []).append(block[:, self.items])
        return {name: np.concatenate(parts) for name, parts in blocks.items()}

    def _scorer(self) -> Evidence:
        graph = graph_paths(self.data, self.config.paths)
        scorer, _ = path_scores.train(graph, self.config, self.examples())
        wide = np.broadcast_to(self.items, (len(self.events), len(self.items)))
        queries = self.queries(self.events, np.ascontiguousarray(wide))
        return {"scorer": path_scores.scores(scorer, graph, queries)}

    def examples(self) -> Queries:
        """Lists of pseudo-new items for the scorer: the target, and others drawn evenly."""
        rng = np.random.default_rng([self.config.seed, 0xE8])
        events = self.world.events(self.world.pseudo), self.world.older(self.world.pseudo)
        joined = type(events[0])(
            *(np.concatenate([getattr(e, n) for e in events]) for n in vars(events[0]))
        )
        order = rng.permutation(len(joined))[:EXAMPLES]
        chosen = joined[order]
        pool = np.flatnonzero(self.world.pseudo)
        drawn = rng.random((len(chosen), len(pool))).argsort(1)[:, : CANDIDATES - 1]
        items = np.concatenate([chosen.target[:, None], pool[drawn]], 1)
        # The target must stand once only.
        items[:, 1:][items[:, 1:] == chosen.target[:, None]] = -1
        items = np.take_along_axis(items, np.argsort(items < 0, axis=1, kind="stable"), 1)
        return self.queries(chosen, items)

    def queries(self, events: Events, items: NDArray[np.int64]) -> Queries:
        """Lists without prior for events; their histories hold no hidden item."""
        whole, hidden = self.world.whole, self.world.hidden
        ratings = []
        for start, length in zip(whole.indptr[events.user], events.position, strict=True):
            past = slice(start, start + length)
            ratings.append(whole.rating[past][~hidden[whole.item[past]]])
        queries = Queries.from_histories(
            self.world.histories(events),
            items,
            np.where(items >= 0, 0.0, -np.inf).astype(np.float32),
            self.config.paths.history,
            ratings,
            events.user,
        )
        hit = items == events.target[:, None]
        queries.target[:] = np.where(hit.any(1), hit.argmax(1), -1)
        return queries

    def _tower(
        self, rows: sparse.csr_matrix | None, white: NDArray[np.float32] | None, name: str
    ) -> Evidence:
        from scipy import sparse as sp

        empty = sp.csr_matrix((len(self.texts), 0), dtype=np.float32)
        features = Features.of(empty if rows is None else rows, white)
        terms = 0 if rows is None else rows.shape[1]
        towers = train_towers(
            self.world.training, features, terms, self.config.seed, torch.device("cpu")
        )
        with torch.inference_mode():
            vectors = towers.items(features)
            users = towers.users(vectors, torch.from_numpy(latest_items(self.histories)))
            cosine = (users @ vectors[torch.from_numpy(self.items)].T).numpy()
        table = similarities(vectors.numpy(), self.items)
        near = near_history(table, self.latest, name)
        return {name: cosine, f"{name} nearest": near[f"{name} nearest"]}


def measure(cold: Cold, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All rows: what each evidence is worth alone, and what is added to the base.

    Returns:
        ``events``, ``users``, ``items``; ``rows``, each with ``name``, ``evidence`` and :func:`figures`. The
        gains of rows that add to the base are over it; those of :data:`BEYOND` are over the base with the evidence of
        random weights.
    """
    user = cold.events.user
    base = cold.ranks(BASE)
    rows: list[dict[str, Any]] = []

    def add(name: str, kinds: tuple[str, ...], against: NDArray[np.int64] | None) -> None:
        row = {"name": name, "evidence": list(kinds)}
        rows.append(row | figures(cold.ranks(kinds), user, against))
        say(str(rows[-1]))

    for name, kinds in ROWS.items():
        add(name, kinds, None)
    add("base", BASE, None)
    for name, kinds in {**ADDED, **CONTROLS, **CEILING}.items():
        add(name, BASE + kinds, base)
    for name, (kinds, over) in BEYOND.items():
        add(name, BASE + kinds, cold.ranks(BASE + over))
    return {
        "events": len(user),
        "users": len(np.unique(user)),
        "items": len(cold.items),
        "rows": rows,
    }
