"""Stage one by an index against a score of every item: recall, users a second, memory.

The items are those of :mod:`benchmarks.scale.synthetic`. LRURec starts from the item-item counts of their interactions, as
in every training, and takes some steps; so its vectors lie in clusters, as trained ones do. The words of the items are made:
a vector of an item is that of its kind, of which a community has some, plus noise. ``graph_itemitem`` is left out, because
its graph takes longer to build than all else here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.common import say
from benchmarks.scale.memory import alone
from benchmarks.scale.synthetic import make
from lkgrag.config.loading import load_config
from lkgrag.retrieval import (
    FusedRetriever,
    ItemItemRetriever,
    LRURecOptions,
    LRURecRetriever,
    PopularityRetriever,
    TextRetriever,
)
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.retrieval.lrurec.training import Training, batches
from lkgrag.retrieval.text.network import WIDTH, TextTowers
from lkgrag.text import Words

#: Communities of Beauty's size, by the size's name.
SIZES = {"10k": 1, "100k": 8, "1M": 83}
#: Steps of the training, users, and users of the exact lists, which take long.
STEPS, USERS, EXACT = 100, 2_000, 200
#: Windows a step.
BATCH = 256
K = 20
#: Kinds of items in a community, and the noise of a vector beside that of its kind.
KINDS, NOISE = 25, 0.7
#: Weights at the four corners: for rare and common items, after short and long histories; of the size that fits of Amazon
#: Beauty have.
WEIGHTS = {
    "lrurec": [[0.5, 0.6], [0.6, 0.7]],
    "popularity": [[0.1, 0.05], [0.2, 0.1]],
    "itemitem": [[0.3, 0.4], [0.3, 0.3]],
    "text": [[0.4, 0.3], [0.2, 0.2]],
}
INDICES = ("hnsw", "ivfpq")
#: With all systems, and with those that have vectors and popularity alone.
PARTS = ("all", "without_counts")


def measure(
    sizes: list[str], kinds: list[str], seed: int, before: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Measure sizes one after the other.

    Args:
        sizes: of :data:`SIZES`.
        kinds: of :data:`INDICES`.
        seed: of data, training and index.
        before: the stored result by size.

    Yields:
        The result by size, whenever one is done.
    """
    found = {name: row for name, row in before.items() if not row.get("calculated")}
    for name in sizes:
        found[name] = alone(compare, SIZES[name], kinds, seed)
        row = found[name]
        for kind in kinds:
            one = row["all"][kind]
            say(
                f"index {name}, {kind}: recall@{K} {one['recall']:.4f}, {one['users_a_second']:,.0f} users a second, "
                f"{one['times']:.1f} times exact; built in {one['build_seconds']:,.0f} s, {one['index_mib']:,.0f} MiB"
            )
        yield with_slope(found)


def compare(scale: int, kinds: list[str], seed: int) -> dict[str, Any]:
    """Compare indices with a score of every item, in this process and on one thread."""
    import faiss

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    whole, asked = fused(scale, seed)
    vectors = {name: s for name, s in whole.systems.items() if name != "itemitem"}
    return {
        "items": whole.num_items,
        "all": judged(whole, asked, kinds, seed),
        # What the index does where nothing else helps it.
        "without_counts": judged(FusedRetriever(vectors, weights(vectors)), asked, kinds, seed),
    }


def judged(
    retriever: FusedRetriever, asked: list[np.ndarray], kinds: list[str], seed: int
) -> dict[str, Any]:
    """Users a second by all scores and by indices, of the processor's time; and what an index finds."""
    import faiss

    few = asked[:EXACT]
    wanted, wanted_scores = retriever.propose(few, K)
    row: dict[str, Any] = {
        "users_a_second": speed_of(retriever, few[:50]),
    }
    one = asked[:20]
    row["ms_a_user_alone"] = 1000 / speed_of(retriever, one, at_once=1)
    for kind in kinds:
        start = time.process_time()
        index = ItemIndex.build(retriever, kind, seed)
        took = time.process_time() - start
        served = retriever.with_index(index)
        found, scores = served.propose(few, K)
        hits = [len(np.intersect1d(f, w)) for f, w in zip(found, wanted, strict=True)]
        speed = speed_of(served, asked)
        whole = index.propose(few, K, None, True, retriever.turn)[2]
        row[kind] = {
            "recall": float(np.mean(hits)) / K,
            "users_a_second": speed,
            "times": speed / row["users_a_second"],
            "ms_a_user_alone": 1000 / speed_of(served, one, at_once=1),
            "build_seconds": took,
            "index_mib": faiss.serialize_index(index.index).nbytes / 2**20,
            "by_all_scores": float(1 - whole.mean()),
            # Of the best item's score: what the sampled softmax sums are off by, weighted.
            "score_error": float(np.abs(scores[:, 0] - wanted_scores[:, 0]).max()),
        }
    return row


def speed_of(retriever: FusedRetriever, asked: list[np.ndarray], at_once: int = 0) -> float:
    """Users a second of the processor's time, the better of two repeats.

    Args:
        retriever: that proposes.
        asked: histories.
        at_once: that are given together; 0 for all.
    """
    step, best = at_once or len(asked), float("inf")
    for _ in range(2):
        start = time.process_time()
        for first in range(0, len(asked), step):
            retriever.propose(asked[first : first + step], K)
        best = min(best, time.process_time() - start)
    return len(asked) / best


def weights(names: Iterable[str]) -> CornerWeights:
    """The weights of some systems."""
    corners = {name: np.array(WEIGHTS[name]) for name in names}
    return CornerWeights((1.0, 50.0), (2.0, 20.0), corners)


def fused(scale: int, seed: int) -> tuple[FusedRetriever, list[np.ndarray]]:
    """The retriever, and histories to rank for."""
    made = make(scale, seed)
    x = made.interactions
    rng = np.random.default_rng([seed, scale, 0x1D])
    config = load_config({"retrieval.batch_size": str(BATCH)})
    options = LRURecOptions.of(config.retrieval)
    sequences = [x.sequence(u)[:-2] for u in range(x.num_users)]
    run = Training(sequences, x.num_items, options, seed, torch.device("cpu"))
    run.model.train()
    some = [sequences[u] for u in rng.permutation(len(sequences))[:20_000]]
    for batch in list(batches(some, options, rng))[:STEPS]:
        run._step(batch)
    training = x.first(np.maximum(np.diff(x.indptr) - 2, 0))
    popularity = PopularityRetriever.fit(training)
    systems = {
        "lrurec": LRURecRetriever(run.model.eval(), options.max_len),
        "popularity": popularity,
        "itemitem": ItemItemRetriever.fit(training, decay=config.retrieval.decay),
        "text": texts(made.community, rng),
    }
    retriever = FusedRetriever(systems, weights(systems))
    users = rng.permutation(np.flatnonzero(np.diff(x.indptr) > 2))[:USERS]
    return retriever, [sequences[u] for u in users]


def texts(community: np.ndarray, rng: np.random.Generator) -> TextRetriever:
    """Made vectors of words."""
    kinds = community * KINDS + rng.integers(0, KINDS, len(community))
    centres = rng.normal(size=(int(kinds.max()) + 1, WIDTH)).astype(np.float32)
    vectors = centres[kinds]
    vectors += np.float32(NOISE) * rng.standard_normal(vectors.shape, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    torch.manual_seed(0)
    words = Words(["word"], np.ones(1, np.float32))
    return TextRetriever(TextTowers(1, 0).eval(), words, None, vectors)


def with_slope(found: dict[str, Any]) -> dict[str, Any]:
    """The sizes in order, and 10 million items by the growth between the two largest that were measured."""
    rows = {name: found[name] for name in SIZES if name in found}
    if "1M" not in rows or "100k" not in rows:
        return rows
    small, large = rows["100k"], rows["1M"]
    power = np.log(10) / np.log(large["items"] / small["items"])

    def grown(part: str, *keys: str) -> float:
        a, b = small[part], large[part]
        for key in keys:
            a, b = a[key], b[key]
        return float(b * (b / a) ** power)

    last: dict[str, Any] = {"items": 10 * large["items"], "calculated": True}
    for part in PARTS:
        last[part] = {"users_a_second": grown(part, "users_a_second")}
        for kind in INDICES:
            if kind in small[part] and kind in large[part]:
                names = ("users_a_second", "build_seconds", "index_mib")
                one = {name: grown(part, kind, name) for name in names}
                one["times"] = one["users_a_second"] / last[part]["users_a_second"]
                last[part][kind] = one
    return {**rows, "10M": last}


def values_of(found: dict[str, Any]) -> dict[str, float]:
    """The values of the targets: of the fastest kind among those with enough recall, by the worse of both parts."""
    row = found.get("1M")
    if row is None:
        return {}
    kinds = [
        (min(row[p][kind]["recall"] for p in PARTS), min(row[p][kind]["times"] for p in PARTS))
        for kind in INDICES
        if kind in row["all"]
    ]
    recall, times = max(kinds, key=lambda one: (one[0] >= 0.99, one[1]))
    return {"C6_recall": recall, "C6_times": times}
