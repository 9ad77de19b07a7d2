"""What a run leaves: the ranker that serves, ``metrics.json``, ranks, curves, explanations."""

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
from lkgrag.run.provenance import commit, environment, hardware, today
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.context import Context
from lkgrag.serving.ranking import rank
from lkgrag.serving.requests import Request
from lkgrag.serving.saved_run import FORMAT
from lkgrag.serving.users import UsersInMemory
from lkgrag.utils.console import bar
from lkgrag.utils.files import nan_to_none, write_json, write_parquet
from lkgrag.utils.layout import CURVE, EXPLANATIONS, KG, METRICS, PROMPTS, RANKER, RANKS, SALIENCE

if TYPE_CHECKING:
    from lkgrag.data import Interactions
    from lkgrag.data.dataset import Dataset
    from lkgrag.evaluation.result import Evaluation
    from lkgrag.paths import GraphPaths
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import CandidateLists, StageOne
    from lkgrag.run.context import RunContext
    from lkgrag.run.stages import Stages
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendation

log = logging.getLogger(__name__)


def serving_context(
    stages: Stages, graph: GraphPaths, one: StageOne, learned: tuple[float, float]
) -> Context:
    """What the ranker needs to serve anyone; a user's history is all that is known of them.

    Args:
        stages: of the run.
        graph: of all training interactions, and its paths.
        one: stage one.
        learned: the weights that training left.
    """
    x = stages.dataset.interactions
    return Context(
        graph=graph,
        retriever=one.retriever,
        catalogue=Catalogue(x.item_ids, x.titles),
        config=stages.config,
        users=UsersInMemory(x.user_ids, x.indptr, x.item, x.rating),
        learned=learned,
    )


def faithfulness_of(
    stages: Stages, model: RankerModel, graph: GraphPaths, test: CandidateLists
) -> dict[str, Any]:
    """Faithfulness of the explanations, on test events whose target was proposed."""
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
            update,
        )


def metrics_of(
    stages: Stages,
    context: RunContext,
    one: StageOne,
    model: RankerModel,
    evaluation: Evaluation,
    faithfulness: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """``metrics.json``: the figures by system, and what is needed to trust them.

    Args:
        stages: of the run.
        context: how it was carried out.
        one: stage one.
        model: with the refitted weights.
        evaluation: of the model.
        faithfulness: of its explanations.
        seconds: that each stage took.
    """
    config, dataset = stages.config, stages.dataset
    x = dataset.interactions
    differences = evaluation.differences(config.evaluation.bootstrap, config.seed)
    keys = ("split", "system", "other", "metric", "population")
    popularity = np.bincount(x.item[dataset.split.train_mask(x)], minlength=x.num_items)
    a, b = evaluation.fusion.weights
    return {
        **evaluation.metrics(config.evaluation.ks),
        "format": FORMAT,
        "data": {"name": config.data.name, **dataset.key, "counts": x.stats},
        "code": stages.keys.code(),
        "llm": config.llm.name,
        "dtype": str(model.lm.dtype).removeprefix("torch.") if model.lm is not None else None,
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
        "cold_start": cold_start(evaluation.test, popularity),
        "fusion": {"a": a, "b": b},
        "stage_one": {k: v for k, v in one.report.items() if k != "lrurec_curve"},
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
    curves: dict[str, Any],
    explained: list[Recommendation],
    metrics: dict[str, Any],
) -> None:
    """The run's files; ``metrics.json`` comes last, and says that the run is finished."""
    x = dataset.interactions
    ranker.save_pretrained(folder / RANKER)
    save_kg(ranker.context.data, folder / KG)
    frames = []
    for result in evaluation.results:
        losses = {f"nll_{k}": v for k, v in evaluation.losses(result.split).items()}
        frames.append(result.frame(x.user_ids, x.item_ids).assign(**losses))
    write_parquet(folder / RANKS, pd.concat(frames))
    write_json(folder / CURVE, curves)
    write_json(folder / EXPLANATIONS, [r.to_dict() for r in explained])
    prompts, salience = prompt_tables(x, ranker.context.graph.metapaths, evaluation)
    write_parquet(folder / PROMPTS, prompts)
    write_parquet(folder / SALIENCE, salience)
    draw_report(folder, metrics)
    write_json(folder / METRICS, metrics)


def draw_report(folder: Path, metrics: dict[str, Any]) -> None:
    """Draw the report; a picture that cannot be drawn must not cost the run."""
    try:
        write_report(folder, nan_to_none(metrics))
    except LkgragError:
        # A full disk, say: the run's own files would fail next, with the better message.
        raise
    except Exception:
        log.warning(
            "the report could not be drawn; the run is whole; "
            "try again with python -m lkgrag.report run=%s",
            folder,
            exc_info=True,
        )


def explain_events(
    ranker: Ranker, interactions: Interactions, test: CandidateLists
) -> list[Recommendation]:
    """Rankings of a few test events whose target was proposed, drawn with the run's seed."""
    x, config = interactions, ranker.context.config
    pool = np.flatnonzero(test.retrieved)
    rng = np.random.default_rng([config.seed, 0xE1])
    chosen = rng.permutation(pool)[: config.evaluation.explain]
    requests = []
    for event in chosen:
        user, position = int(test.events.user[event]), int(test.events.position[event])
        begin = x.indptr[user]
        requests.append(
            Request(
                history=x.item[begin : begin + position],
                rating=x.rating[begin : begin + position],
                candidates=test.items[event][test.items[event] >= 0],
                user=x.user_ids[user],
                index=user,
                target=int(test.events.target[event]),
            )
        )
    shown = min(5, x.num_items)
    return rank(ranker.model, ranker.context, requests, shown, explain=True) if requests else []
