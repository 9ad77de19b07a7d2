"""What variety costs: lists of rankers without a language model, reordered with more and more of it, on validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.by_data import keep_sets, stored_sets
from benchmarks.common import ROOT, data_roots, say
from benchmarks.language.setting import SUSPECT, WITHOUT_TEXT
from lkgrag.config.loading import load_config
from lkgrag.evaluation.beyond import LENGTH, Readers, beyond_of
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.evaluation.significance import paired_bootstrap
from lkgrag.prompt.order import CandidateOrder
from lkgrag.retrieval.candidates import candidate_lists
from lkgrag.retrieval.ranks import histories_of
from lkgrag.run.pipeline import train
from lkgrag.run.stages import load_dataset
from lkgrag.serving.diversity import reorder
from lkgrag.serving.ranker import Ranker
from lkgrag.utils.gains import discounted_gain

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from lkgrag.config import Config

NAME, PAGE = "diversity", ROOT / "docs" / "beyond-accuracy.md"
DATA = ("ml-100k", "amazon-beauty")
#: Values of ``diversity=``; 0 is the order of the scores.
VALUES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
#: Resamples of the users for intervals.
RESAMPLES = 10_000
#: Columns of the docs' table: figures beyond accuracy, and what they are called there.
COLUMNS = {"ild@10": "distance", "coverage@10": "coverage"}


def configuration(data: str, root: Path, seed: int) -> Config:
    """The options of a data set: without a language model, and without relations that may come from later."""
    options = {"llm.name": "none", "seed": str(seed), "threads": "1"}
    options["cache.root"] = str(root / "cache")
    if data == "amazon-beauty":
        options |= {"preset": data, "kg.exclude": f"[{','.join(SUSPECT)}]"}
        # The stages are those of the suite language, row words.
        options |= {"retrieval.patience": "4", "evaluation.faithfulness": "0"}
        options["evaluation.explain"] = "1"
        options["retrieval.systems"] = f"[{','.join((*WITHOUT_TEXT, 'text'))}]"
    else:
        options["preset"] = "quick"
    roots = data_roots()
    if data in roots:
        options["data.root"] = roots[data]
    return load_config(options)


def compare(data: str, root: Path, seed: int) -> dict[str, Any]:
    """One data set: the figures of each value."""
    config = configuration(data, root, seed)
    folder = root / data
    train(replace(config, out=str(folder)))
    dataset = load_dataset(config)
    ranker = Ranker.from_pretrained(folder, "cpu")
    context, interactions = ranker.context, dataset.interactions
    evaluator = Evaluator(
        interactions,
        context.graph,
        config.evaluation,
        CandidateOrder(config.prompt.order, config.seed),
        config.paths.history,
    )
    lists = candidate_lists(context.retriever, interactions, dataset.split.val, config.retrieval.k)
    evaluation = evaluator.evaluate(
        ranker.model, {"val": lists, "test": lists[:0]}, None, context.learned
    )
    queries, result = evaluation.queries["val"], evaluation.val
    scores = evaluation.scored["val"].fused(evaluation.of_lists.without_lm)
    vectors = context.item_vectors
    assert vectors is not None
    events = lists.events[result.retrieved]
    readers = Readers(events.user, histories_of(interactions, events), RESAMPLES, seed)
    training = interactions.item[dataset.split.train_mask(interactions)]
    popularity = np.bincount(training, minlength=interactions.num_items)
    gains, shown = {}, {}
    for value in VALUES:
        items = np.full((len(queries), queries.candidate_items.shape[1]), -1, np.int64)
        for row, (candidates, score) in enumerate(
            zip(queries.candidate_items, scores, strict=True)
        ):
            ranked = np.argsort(-score, kind="stable")
            ranked = ranked[candidates[ranked] >= 0]
            similarity = vectors.similarity(candidates[ranked])
            order = reorder(score[ranked], similarity, value, len(ranked)).order
            items[row, : len(order)] = candidates[ranked[order]]
        target = queries.candidate_items[np.arange(len(queries)), queries.target]
        place = (items == target[:, None]).argmax(1) + 1
        gain = np.zeros(len(result))
        gain[result.retrieved] = discounted_gain(place, 10)
        gains[value], shown[f"{value:g}"] = gain, items[:, :LENGTH]
    beyond = beyond_of(shown, popularity, context.data, "val", readers)
    return {
        "made_of": vectors.made_of,
        "events": len(result),
        "lists": beyond["lists"],
        "category": beyond["category"],
        "values": {
            f"{value:g}": {
                "ndcg@10": float(gains[value].mean()),
                "cost": _difference(gains[value] - gains[0.0], result.user, seed),
                **beyond["systems"][f"{value:g}"],
                "intervals": beyond["intervals"][f"{value:g}"],
            }
            for value in VALUES
        },
    }


def _difference(
    values: NDArray[np.float64], user: NDArray[np.int64], seed: int
) -> dict[str, float]:
    return paired_bootstrap(values, user, RESAMPLES, seed).to_dict()


def measure(
    data: list[str], root: Path, seed: int, before: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The figures of all data sets that were measured, after each one.

    Args:
        data: names of data sets.
        root: of the runs and their stages.
        seed: of everything.
        before: stored figures, which those that are not measured now keep.
    """
    out = dict(before)
    for name in data:
        say(f"{name}: variety")
        out[name] = compare(name, root, seed)
        yield out


def table(sets: dict[str, Any]) -> str:
    """The docs' table: a row a value, and for each data set its columns."""
    there = [name for name in DATA if name in sets]
    head = ["`diversity`"]
    for name in there:
        head += [f"{name}: NDCG@10, cost", *COLUMNS.values()]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for value in (f"{v:g}" for v in VALUES):
        cells = [value]
        for name in there:
            row = sets[name]["values"][value]
            cost = row["cost"]
            gap = f", {cost['mean']:+.4f} [{cost['low']:+.4f}, {cost['high']:+.4f}]"
            cells.append(f"{row['ndcg@10']:.4f}{'' if value == '0' else gap}")
            cells += [f"{row[key]:.3f}" if key in row else "" for key in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def diversity(options: argparse.Namespace) -> int:
    """Measure, store and show; returns the exit status.

    Args:
        options: of the command line: ``data``, ``root``, ``seed`` and ``quick``.
    """
    data, before = options.data or [*DATA], stored_sets(NAME)
    results = measure(data, options.root, options.seed, before)
    return keep_sets(NAME, PAGE, results, table, options)
