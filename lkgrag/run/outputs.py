"""The outputs of a run: the ranker that serves, ``metrics.json``, ranks, curves, explanations."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.errors import LkgragError
from lkgrag.evaluation import cold_start
from lkgrag.evaluation.deletion import measure_faithfulness
from lkgrag.kg import save_kg
from lkgrag.report import prompt_tables, write_report
from lkgrag.run.described import Described
from lkgrag.run.provenance import commit, environment, hardware, today
from lkgrag.serving.card import select_figures
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.context import Context
from lkgrag.serving.known import KnownData
from lkgrag.serving.ranking import rank
from lkgrag.serving.requests import Request
from lkgrag.serving.saved_run import FORMAT
from lkgrag.serving.users import UsersInMemory
from lkgrag.utils.files import nan_to_none, write_json, write_parquet
from lkgrag.utils.layout import (
    CONFIG,
    CURVE,
    EXPLANATIONS,
    KG,
    METRICS,
    PROMPTS,
    RANKER,
    RANKS,
    SALIENCE,
)
from lkgrag.utils.progress import bar, forecast
from lkgrag.utils.sums import walk, write_done

if TYPE_CHECKING:
    from lkgrag.data import Interactions
    from lkgrag.data.dataset import Dataset
    from lkgrag.evaluation.result import Evaluation
    from lkgrag.paths import GraphPaths
    from lkgrag.ranker.fusion import TermWeights
    from lkgrag.ranker.fusion_weights import FittedWeights
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import CandidateLists, StageOne
    from lkgrag.run.context import RunContext
    from lkgrag.run.stages import Stages
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendation

log = logging.getLogger(__name__)

#: Files that the report is made from, beside ``metrics.json``.
FILES = (RANKS, CURVE, EXPLANATIONS, PROMPTS, SALIENCE)
#: Items of an explained ranking.
EXPLAINED_ITEMS = 5


def build_context(
    stages: Stages,
    graph: GraphPaths,
    stage_one: StageOne,
    learned: TermWeights,
    fitted: FittedWeights,
) -> Context:
    """The context with which the ranker serves; it holds the whole history of each user.

    Args:
        stages: of the run.
        graph: the graph of all training interactions, and its paths.
        stage_one: its retriever proposes candidates.
        learned: the weights after training, before their refit.
        fitted: the weights with and without the language model.
    """
    interactions = stages.dataset.interactions
    return Context(
        graph=graph,
        retriever=stage_one.retriever,
        catalogue=Catalogue(interactions.item_ids, interactions.titles),
        config=stages.config,
        users=UsersInMemory(
            interactions.user_ids, interactions.indptr, interactions.item, interactions.rating
        ),
        learned=learned,
        fitted=fitted,
        requests=stages.requests(stage_one),
        dropped=interactions.dropped,
        known=KnownData(interactions),
    )


def check_faithfulness(
    stages: Stages, model: RankerModel, graph: GraphPaths, test: CandidateLists
) -> dict[str, Any]:
    """Measure the faithfulness of explanations on test events whose target was proposed.

    Returns:
        As :func:`~lkgrag.evaluation.deletion.measure_faithfulness`; empty with
        ``evaluation.faithfulness=0``.
    """
    options = stages.config.evaluation
    if options.faithfulness <= 0:
        return {}
    with bar("delete evidence") as update:
        return measure_faithfulness(
            model,
            graph,
            stages.queries(test[test.retrieved]),
            options.faithfulness,
            options.batch_size,
            stages.config.seed,
            forecast(update, "prompts", "evaluation.faithfulness=0 skips this"),
        )


def collect_metrics(
    stages: Stages,
    context: RunContext,
    stage_one: StageOne,
    ranker: Ranker,
    evaluation: Evaluation,
    faithfulness: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of ``metrics.json``: the figures of each system, and their provenance.

    Args:
        stages: of the run.
        context: how the run was carried out.
        stage_one: the candidates of all events.
        ranker: with the refitted weights.
        evaluation: of its model.
        faithfulness: of its explanations.
        seconds: seconds of each stage.
    """
    config, dataset = stages.config, stages.dataset
    interactions, lm = dataset.interactions, ranker.model.lm
    differences = evaluation.differences(config.evaluation.bootstrap, config.seed)
    keys = ("split", "system", "other", "metric", "population")
    described = Described(
        dataset,
        stage_one,
        evaluation,
        ranker.context.graph,
        config.evaluation.bootstrap,
        config.seed,
    )
    weights, fitted = evaluation.fusion.weights, evaluation.weights
    marginal = {
        "marginal": evaluation.measure_marginal(config.evaluation.bootstrap, config.seed),
        "marginal_text": evaluation.measure_text(config.evaluation.bootstrap, config.seed),
    }
    return {
        **evaluation.metrics(config.evaluation.ks),
        "format": FORMAT,
        "data": {"name": config.data.name, **dataset.key, "counts": interactions.stats},
        "code": stages.keys.code(),
        "llm": config.llm.name,
        "dtype": str(lm.dtype).removeprefix("torch.") if lm is not None else None,
        "seed": config.seed,
        "versions": environment(),
        "commit": commit(),
        "date": today(),
        "hardware": hardware(),
        "device": str(context.accelerator.device.type),
        "processes": context.accelerator.num_processes,
        "threads": context.threads,
        "seconds": {
            **seconds,
            "evaluation": evaluation.seconds,
            "total": time.perf_counter() - context.begun,
        },
        "tokens_per_prompt": evaluation.tokens,
        "prompts_ranked": evaluation.prompts,
        "cross_entropy": evaluation.cross_entropies(),
        "mask_seen": config.retrieval.mask_seen,
        "faithfulness": faithfulness,
        "cold_start": cold_start(evaluation.test, described.popularity),
        "beyond_accuracy": described.beyond_accuracy(),
        "user_groups": described.user_groups(config.evaluation.groups),
        "path_quality": described.path_quality(ranker.model),
        "fusion": {
            **weights.to_dict(),
            **fitted.to_dict(),
        },
        **{
            name: [
                {"split": split, "metric": metric, "population": population, **asdict(difference)}
                for split, metric, population, difference in rows
            ]
            for name, rows in marginal.items()
        },
        "budget": context.budget.to_dict(),
        "stage_one": {k: v for k, v in stage_one.report.items() if not k.endswith("_curve")},
        "differences": [
            {**dict(zip(keys, names, strict=True)), **asdict(difference)}
            for *names, difference in differences
        ],
    }


def write_files(
    folder: Path,
    ranker: Ranker,
    dataset: Dataset,
    evaluation: Evaluation,
    curves: dict[str, list[dict[str, float]]],
    explained: list[Recommendation],
    metrics: dict[str, Any],
) -> None:
    """Write the run's files; ``metrics.json`` marks the run as finished, and ``done.json`` holds their sums.

    Args:
        folder: of the run.
        ranker: the ranker that serves.
        dataset: data of the run.
        evaluation: ranks and losses of every event.
        curves: the learning curves of ranker, scorer and LRURec.
        explained: explained rankings.
        metrics: content of ``metrics.json``.
    """
    interactions = dataset.interactions
    ranker.context.figures = select_figures(nan_to_none(metrics))
    ranker.save_pretrained(folder / RANKER)
    save_kg(ranker.context.data, folder / KG)
    frames = []
    for result in evaluation.results:
        losses = {f"nll_{k}": v for k, v in evaluation.losses(result.split).items()}
        frame = result.frame(interactions.user_ids, interactions.item_ids)
        frames.append(frame.assign(**losses))
    write_parquet(folder / RANKS, pd.concat(frames))
    write_json(folder / CURVE, curves)
    write_json(folder / EXPLANATIONS, [r.to_dict() for r in explained])
    prompts, salience = prompt_tables(interactions, ranker.context.graph.metapaths, evaluation)
    write_parquet(folder / PROMPTS, prompts)
    write_parquet(folder / SALIENCE, salience)
    draw_report(folder, metrics)
    write_json(folder / METRICS, metrics)
    # The ranker has sums of its own; log and report may change.
    ends = (CONFIG, METRICS, *FILES)
    write_done(folder, files=[n for n in walk(folder) if n in ends or n.startswith(f"{KG}/")])


def draw_report(folder: Path, metrics: dict[str, Any]) -> None:
    """Draw the report; a report that cannot be drawn is a warning, because the run's results are complete."""
    try:
        write_report(folder, nan_to_none(metrics))
    except LkgragError:
        # Such as a full disk: the message says what to do, and the run's own files would fail next.
        raise
    except Exception:
        log.warning(
            "the report could not be drawn, but the run is complete; "
            "try again with python -m lkgrag.report run=%s",
            folder,
            exc_info=True,
        )


def explain_events(
    ranker: Ranker, interactions: Interactions, test: CandidateLists
) -> list[Recommendation]:
    """Rank and explain ``evaluation.explain`` test events whose target was proposed.

    Args:
        ranker: ranks; the seed of its configuration draws the events.
        interactions: the sequences.
        test: the candidate lists of the test events.
    """
    config = ranker.context.config
    proposed = np.flatnonzero(test.retrieved)
    rng = np.random.default_rng([config.seed, 0xE1])
    requests = []
    for event in rng.permutation(proposed)[: config.evaluation.explain]:
        user, position = int(test.events.user[event]), int(test.events.position[event])
        begin = interactions.indptr[user]
        requests.append(
            Request(
                history=interactions.item[begin : begin + position],
                rating=interactions.rating[begin : begin + position],
                candidates=test.items[event][test.items[event] >= 0],
                user=interactions.user_ids[user],
                index=user,
                target=int(test.events.target[event]),
            )
        )
    if not requests:
        return []
    k = min(EXPLAINED_ITEMS, interactions.num_items)
    return rank(ranker.model, ranker.context, requests, k, explain=True)
