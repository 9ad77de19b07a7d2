"""More users and more items: LRURec with a sampled softmax, and the memory that ranking takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.common import rate, say
from benchmarks.scale.memory import alone
from benchmarks.scale.synthetic import make
from lkgrag.config.loading import load_config
from lkgrag.paths import PathFinder
from lkgrag.retrieval import (
    FusedRetriever,
    GraphRetriever,
    ItemItemRetriever,
    LRURecOptions,
    LRURecRetriever,
    PopularityRetriever,
)
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.retrieval.lrurec.training import Training, batches
from lkgrag.run.stages import build_kg

#: Optimiser steps that are timed, users that are ranked, and by how many more for the memory.
STEPS, USERS, MORE = 100, 2_000, 10
#: Windows a step beyond scale 1.
BATCH = 256


def measure(scales: list[int], quick: bool, seed: int) -> dict[str, Any]:
    """Measure LRURec at each scale, and the memory of ranking more and more users at scale 1.

    Args:
        scales: number of communities of Beauty's size.
        quick: fewer steps and users.
        seed: of the data.
    """
    lrurec = {str(scale): alone(train, scale, quick, seed) for scale in scales}
    for scale, row in lrurec.items():
        say(
            f"LRURec x {scale}: {row['items']:,} items, {row['examples_a_second']:,.0f} examples a "
            f"second, an epoch in {row['epoch_seconds']:,.0f} s, {row['peak_gib']:.1f} GiB; "
            f"{row['users_a_second']:,.0f} users a second"
        )
    few, many = (alone(rank, n, quick, seed) for n in (1, MORE))
    growth = (many["peak_gib"] - few["peak_gib"]) * 2**20 / max(many["users"] - few["users"], 1)
    say(
        f"ranking {few['users']:,} users takes {few['peak_gib']:.2f} GiB, {many['users']:,} users "
        f"{many['peak_gib']:.2f} GiB: {growth:.2f} KiB a user more"
    )
    values = {} if quick else {"C4": growth}
    return {"lrurec": lrurec, "ranking": {"few": few, "many": many}, "values": values}


def train(scale: int, quick: bool, seed: int) -> dict[str, Any]:
    """Steps of an epoch, and users ranked by the best 20 of all items."""
    torch.set_num_threads(1)
    x = make(scale, seed).interactions
    # More windows a step where the optimiser's pass over all items is what costs.
    config = load_config({"retrieval.batch_size": str(24 if scale == 1 else BATCH)})
    options = LRURecOptions.of(config.retrieval)
    sequences = [x.sequence(u)[:-2] for u in range(x.num_users)]
    run = Training(sequences, x.num_items, options, seed, torch.device("cpu"))
    run.model.train()
    some = sequences[: 2_000 if quick else 20_000]
    composed = list(batches(some, options, np.random.default_rng(seed)))[: 10 if quick else STEPS]
    labels = sum(len(w) - 1 for batch in composed for w in batch)
    speed = rate(lambda: [run._step(b) for b in composed], labels, 0.0)
    total = sum(max(len(s) - 1, 0) for s in sequences)
    popularity = PopularityRetriever(np.bincount(x.item, minlength=x.num_items))
    retriever = FusedRetriever(
        {"lrurec": LRURecRetriever(run.model, options.max_len), "popularity": popularity},
        {"lrurec": 1.0},
    )
    asked = sequences[: 200 if quick else USERS]
    ranked = rate(lambda: retriever.propose(asked, 20), len(asked), 0.0)
    return {
        "items": x.num_items,
        "users": x.num_users,
        "batch_size": options.batch_size,
        "examples": total,
        "examples_a_second": speed,
        "epoch_seconds": total / speed,
        "users_a_second": ranked,
    }


def rank(times: int, quick: bool, seed: int) -> dict[str, Any]:
    """Candidates, paths and scores for users who come again and again, block by block."""
    from benchmarks.scale.graph import asked
    from lkgrag.scorer import build_scorer

    torch.set_num_threads(1)
    x = make(1, seed).interactions
    config = load_config({})
    end = np.maximum(np.diff(x.indptr) - 2, 0)
    data = build_kg(x, end, config.kg)
    training, r = x.first(end), config.retrieval
    model = LRURec(x.num_items, r.hidden, r.blocks, r.dropout)
    systems = {
        "lrurec": LRURecRetriever(model, r.max_len),
        "popularity": PopularityRetriever.fit(training),
        "itemitem": ItemItemRetriever.fit(training, decay=r.decay),
        "graph_itemitem": GraphRetriever.fit(training, data, decay=r.decay),
    }
    retriever = FusedRetriever(systems)
    finder = PathFinder(data, config.paths)
    scorer = build_scorer(config.scorer, data, finder.metapaths).eval()
    number = times * (256 if quick else USERS)
    for start in range(0, number, 256):
        users = np.arange(start, min(start + 256, number)) % x.num_users
        histories = [x.sequence(int(u)) for u in users]
        items, _ = retriever.propose(histories, 20)
        width = config.paths.history
        history = np.full((len(users), width), -1, np.int64)
        for row, sequence in enumerate(histories):
            history[row, : len(sequence[-width:])] = sequence[-width:]
        with torch.no_grad():
            scorer(data, finder(asked(history, items)))
    return {"users": number}
