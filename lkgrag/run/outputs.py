"""What a run leaves: the ranker that serves, ``metrics.json``, ranks, curves, explanations."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.errors import LkgragError
from lkgrag.evaluation import cold_start
from lkgrag.run.folder import FORMAT, METRICS, RANKER
from lkgrag.run.keys import code_of_others
from lkgrag.run.provenance import commit, environment, hardware, today
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.users import UsersInMemory
from lkgrag.utils.files import write_json, write_parquet

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lkgrag.config import Config
    from lkgrag.evaluation.evaluator import Judged
    from lkgrag.ranker.model import Ranker
    from lkgrag.retrieval import StageOne
    from lkgrag.run.cache import StageCache
    from lkgrag.run.stages import Loaded
    from lkgrag.serving.context import Context

log = logging.getLogger(__name__)

EXPLANATIONS, RANKS, KG, CURVE = "explanations.json", "ranks.parquet", "kg", "curve.json"


def serving_context(
    config: Config, loaded: Loaded, data: Any, finder: Any, one: StageOne
) -> Context:
    """What the ranker needs to serve anyone; a user's history is all that is known of them."""
    from lkgrag.serving.context import Context

    x = loaded.interactions
    return Context(
        data=data,
        finder=finder,
        retriever=one.retriever,
        catalogue=Catalogue(x.item_ids, x.titles),
        config=config,
        users=UsersInMemory(x.user_ids, x.indptr, x.item, x.rating),
    )


def evidence(
    config: Config, loaded: Loaded, ranker: Ranker, data: Any, finder: Any, one: StageOne
) -> dict[str, object]:
    """Faithfulness of the explanations, on test events whose target was proposed."""
    from lkgrag.evaluation.deletion import faithfulness
    from lkgrag.run.stages import queries_for
    from lkgrag.utils.console import bar

    if config.evaluation.faithfulness <= 0:
        return {}
    queries = queries_for(config, loaded, one.test[one.test.retrieved])
    with bar("delete evidence") as update:
        return faithfulness(
            ranker,
            data,
            finder,
            queries,
            config.evaluation.faithfulness,
            config.evaluation.batch_size,
            config.seed,
            update,
        )


def metrics_of(
    config: Config,
    loaded: Loaded,
    one: StageOne,
    judged: Judged,
    found: dict[str, object],
    cache: StageCache,
    threads: int,
    accelerator: Accelerator,
    ranker: Ranker,
    start: float,
) -> dict[str, Any]:
    """``metrics.json``: the figures by system, and what is needed to trust them."""
    differences = judged.differences(config.evaluation.bootstrap, config.seed)
    keys = ("split", "system", "other", "metric", "population")
    x = loaded.interactions
    popularity = np.bincount(x.item[loaded.split.train_mask(x)], minlength=x.num_items)
    return {
        **judged.metrics(config.evaluation.ks),
        "format": FORMAT,
        "data": {"name": config.data.name, **loaded.key, "counts": loaded.interactions.stats},
        "code": code_of_others(config),
        "llm": config.llm.name,
        "dtype": str(ranker.lm.dtype).removeprefix("torch.") if ranker.lm is not None else None,
        "seed": config.seed,
        "versions": environment(),
        "commit": commit(),
        "date": today(),
        "hardware": hardware(),
        "device": str(accelerator.device.type),
        "processes": accelerator.num_processes,
        "threads": threads,
        "seconds": {
            **cache.seconds,
            "evaluation": judged.seconds,
            "total": time.perf_counter() - start,
        },
        "tokens_per_prompt": judged.tokens,
        "prompts_ranked": judged.prompts,
        "cross_entropy": judged.cross_entropies(),
        "mask_seen": config.retrieval.mask_seen,
        "faithfulness": found,
        "cold_start": cold_start(judged.test, popularity),
        "fusion": {"a": judged.weights[0], "b": judged.weights[1]},
        "stage_one": {k: v for k, v in one.report.items() if k != "lrurec_curve"},
        "differences": [
            {**dict(zip(keys, names, strict=True)), **asdict(found)}
            for *names, found in differences
        ],
    }


def write_files(
    config: Config,
    folder: Path,
    loaded: Loaded,
    ranker: Ranker,
    judged: Judged,
    curves: dict[str, Any],
    one: StageOne,
    explained: list[Any],
    metrics: dict[str, Any],
) -> None:
    """The run's files; ``metrics.json`` comes last, and says that the run is finished."""
    import pandas as pd

    from lkgrag.kg import save_kg

    x = loaded.interactions
    ranker.save_pretrained(folder / RANKER)
    assert ranker.context is not None
    save_kg(ranker.context.data, folder / KG)
    frames = []
    for result in (judged.val, judged.test):
        losses = {f"nll_{k}": v for k, v in judged.losses(result.split).items()}
        frames.append(result.frame(x.user_ids, x.item_ids).assign(**losses))
    write_parquet(folder / RANKS, pd.concat(frames))
    write_json(folder / CURVE, {**curves, "lrurec": one.report.get("lrurec_curve", [])})
    write_json(folder / EXPLANATIONS, [r.to_dict() for r in explained])
    from lkgrag.report import PROMPTS, SALIENCE, prompt_tables

    prompts, salience = prompt_tables(x, ranker.context.finder.metapaths, judged)
    write_parquet(folder / PROMPTS, prompts)
    write_parquet(folder / SALIENCE, salience)
    draw_report(folder, metrics)
    write_json(folder / METRICS, metrics)


def draw_report(folder: Path, metrics: dict[str, Any]) -> None:
    """Draw the report; a picture that cannot be drawn must not cost the run."""
    from lkgrag.report import write_report
    from lkgrag.utils.files import finite

    try:
        write_report(folder, finite(metrics))
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


def explain_events(config: Config, loaded: Loaded, ranker: Ranker, one: StageOne) -> list[Any]:
    """Rankings of a few test events whose target was proposed, drawn with the run's seed."""
    from lkgrag.serving.ranking import rank
    from lkgrag.serving.requests import Request

    x, lists = loaded.interactions, one.test
    pool = np.flatnonzero(lists.retrieved)
    rng = np.random.default_rng([config.seed, 0xE1])
    chosen = rng.permutation(pool)[: config.evaluation.explain]
    requests = []
    for e in chosen:
        user, position = int(lists.events.user[e]), int(lists.events.position[e])
        begin = x.indptr[user]
        requests.append(
            Request(
                history=x.item[begin : begin + position],
                rating=x.rating[begin : begin + position],
                candidates=lists.items[e][lists.items[e] >= 0],
                user=x.user_ids[user],
                index=user,
                target=int(lists.events.target[e]),
            )
        )
    assert ranker.context is not None
    shown = min(5, x.num_items)
    return rank(ranker, requests, k=shown, explain=True) if requests else []
