"""The run: data, graph, stage one, scorer, ranker, evaluation, explanations; each stage resumable."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag import display
from lkgrag.cache import StageCache
from lkgrag.catalogue import Catalogue
from lkgrag.io import read_json, write_json, write_parquet
from lkgrag.options import digest, to_dict
from lkgrag.progress import bar
from lkgrag.rundir import (
    FORMAT,
    METRICS,
    RANKER,
    environment,
    finished,
    open_run,
    run_folder,
    today,
)
from lkgrag.setup import prepare_process

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lkgrag.config import Config
    from lkgrag.judge import Judged
    from lkgrag.ranker import Ranker
    from lkgrag.retrieval import StageOne
    from lkgrag.serving import Context
    from lkgrag.stages import Loaded

log = logging.getLogger(__name__)

#: Prompts that training takes on a CPU unless ``training.max_examples`` says otherwise: about ten
#: minutes of the default language model on two cores.
CPU_BUDGET = 800
EXPLANATIONS, RANKS, KG, CURVE = "explanations.json", "ranks.parquet", "kg", "curve.json"


def train(config: Config) -> None:
    """Carry out a run, or print the table of a finished one."""
    threads = prepare_process(config)
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    accelerator = Accelerator(
        log_with="tensorboard" if config.training.tracker == "tensorboard" else None,
        project_config=ProjectConfiguration(
            project_dir=str(run_folder(config)), logging_dir=str(run_folder(config) / "tensorboard")
        ),
    )
    main = accelerator.is_main_process
    with open_run(config, main) as folder:
        done = finished(folder)
        if done is None:
            done = _carry_out(config, folder, accelerator, threads)
        if main:
            display.results(done, read_json(folder / EXPLANATIONS), folder)
    with suppress(Exception):
        accelerator.end_training()


def _carry_out(
    config: Config, folder: Path, accelerator: Accelerator, threads: int
) -> dict[str, Any]:
    """All stages, in the order of the data's flow."""
    from lkgrag.build import build_ranker, stage_scorer, training_queries
    from lkgrag.paths import PathFinder
    from lkgrag.stages import load_data, stage_kg, stage_retrieval

    start = time.perf_counter()
    show = display.Stages(accelerator.is_main_process)
    cache = StageCache(Path(config.cache.root), config.cache.enabled)
    device = accelerator.device
    show.start("interactions")
    loaded = load_data(config)
    show.interactions(loaded)
    show.start("knowledge graph")
    data = stage_kg(cache, config, loaded, loaded.split.train_end)
    show.graph(data)
    show.start("retrieval: LRURec, counts, graph, fusion")
    one = stage_retrieval(cache, config, loaded, device)
    show.retrieval(one, loaded, config.retrieval.k)
    show.start("paths and scorer")
    fit_data = stage_kg(cache, config, loaded, one.fit_end)
    finder, fit_finder = PathFinder(data, config.paths), PathFinder(fit_data, config.paths)
    examples = training_queries(config, loaded, one)
    scorer, history = stage_scorer(cache, config, loaded, fit_data, fit_finder, examples)
    show.scorer(finder, examples, history)
    show.start("ranker: language model, LoRA, fusion")
    ranker = build_ranker(config, data, scorer, fit_finder, examples, history, device)
    curve = _fit(config, folder, accelerator, ranker, fit_data, fit_finder, examples, loaded, show)
    ranker.learned = (ranker.fusion.a.item(), ranker.fusion.b.item())
    show.start("evaluation")
    from lkgrag.judge import judge

    judged = judge(config, loaded, ranker, data, finder, one.val, one.test, accelerator)
    context = serving_context(config, loaded, data, finder, one)
    metrics: dict[str, Any] = {}
    if accelerator.is_main_process:
        ranker.context = context
        metrics = _record(config, loaded, one, judged, cache, threads, accelerator, ranker, start)
        _write(config, folder, loaded, ranker, judged, curve, one, metrics)
    accelerator.wait_for_everyone()
    return metrics


def _fit(
    config: Config,
    folder: Path,
    accelerator: Accelerator,
    ranker: Ranker,
    fit_data: Any,
    fit_finder: Any,
    examples: Any,
    loaded: Loaded,
    show: display.Stages,
) -> list[dict[str, float]]:
    """Stage two's training within its budget."""
    from lkgrag.stages import retrieval_key
    from lkgrag.training.loop import Trainer

    if ranker.lm is None or not len(examples):
        return []
    limit: int | None = config.training.max_examples
    if limit is not None and limit < 0:
        limit = None if accelerator.device.type == "cuda" else CPU_BUDGET
    sections = ("paths", "scorer", "prompt", "llm", "training")
    depends = digest(
        {**retrieval_key(config, loaded), **{s: to_dict(getattr(config, s)) for s in sections}}
    )
    trainer = Trainer(
        ranker,
        fit_data,
        fit_finder,
        examples,
        config.training,
        config.prompt,
        accelerator,
        folder / "checkpoints",
        depends,
        config.seed,
        limit,
    )
    if config.training.probe > 0 and not trainer.has_checkpoint:
        from lkgrag.training.probe import probe_head

        with bar("probe the language model", accelerator.is_main_process) as update:
            found = probe_head(
                ranker,
                trainer.data,
                fit_finder,
                examples,
                min(config.training.probe, limit or config.training.probe),
                config.evaluation.batch_size,
                config.seed,
                update,
            )
        if found is not None:
            show.say(f"readout probed: correlation with the scorer {found:.2f} on held-out prompts")
    if accelerator.trackers or config.training.tracker == "tensorboard":
        accelerator.init_trackers("ranker")
    with bar("train the ranker", accelerator.is_main_process) as update:
        curve = trainer.fit(update)
    show.training(curve, len(examples), sum(len(b) for b in trainer.batches))
    return curve


def serving_context(
    config: Config, loaded: Loaded, data: Any, finder: Any, one: StageOne
) -> Context:
    """What the ranker needs to serve anyone; a user's history is all that is known of them."""
    from lkgrag.serving import Context

    x = loaded.interactions
    users = {
        user: (x.sequence(n), x.rating[x.indptr[n] : x.indptr[n + 1]])
        for n, user in enumerate(x.user_ids)
    }
    return Context(
        data=data,
        finder=finder,
        retriever=one.retriever,
        catalogue=Catalogue(x.item_ids, x.titles),
        config=config,
        users=users,
    )


def _record(
    config: Config,
    loaded: Loaded,
    one: StageOne,
    judged: Judged,
    cache: StageCache,
    threads: int,
    accelerator: Accelerator,
    ranker: Ranker,
    start: float,
) -> dict[str, Any]:
    """``metrics.json``: the figures by system, and what is needed to trust them."""
    from dataclasses import asdict

    differences = judged.differences(config.evaluation.bootstrap, config.seed)
    keys = ("split", "system", "other", "metric", "population")
    return {
        **judged.metrics(config.evaluation.ks),
        "format": FORMAT,
        "data": {"name": config.data.name, **loaded.key, "counts": loaded.interactions.stats},
        "llm": config.llm.name,
        "seed": config.seed,
        "versions": environment(),
        "date": today(),
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
        "mask_seen": config.retrieval.mask_seen,
        "fusion": {"a": judged.weights[0], "b": judged.weights[1]},
        "stage_one": {k: v for k, v in one.report.items() if k != "lrurec_curve"},
        "differences": [
            {**dict(zip(keys, names, strict=True)), **asdict(found)}
            for *names, found in differences
        ],
    }


def _write(
    config: Config,
    folder: Path,
    loaded: Loaded,
    ranker: Ranker,
    judged: Judged,
    curve: list[dict[str, float]],
    one: StageOne,
    metrics: dict[str, Any],
) -> None:
    """The run's files; ``metrics.json`` comes last, and says that the run is finished."""
    import pandas as pd

    from lkgrag.kg import save_kg

    x = loaded.interactions
    ranker.save_pretrained(folder / RANKER)
    assert ranker.context is not None
    save_kg(ranker.context.data, folder / KG)
    frames = [r.frame(x.user_ids, x.item_ids) for r in (judged.val, judged.test)]
    write_parquet(folder / RANKS, pd.concat(frames))
    write_json(folder / CURVE, {"ranker": curve, "lrurec": one.report.get("lrurec_curve", [])})
    explained = explain_events(config, loaded, ranker, one)
    write_json(folder / EXPLANATIONS, [r.to_dict() for r in explained])
    write_json(folder / METRICS, metrics)


def explain_events(config: Config, loaded: Loaded, ranker: Ranker, one: StageOne) -> list[Any]:
    """Rankings of a few test events whose target was proposed, drawn with the run's seed."""
    from lkgrag.serving import Request, rank

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
                target=int(lists.events.target[e]),
            )
        )
    assert ranker.context is not None
    return rank(ranker, requests, k=5, explain=True) if requests else []


def evaluate_run(folder: Path, config: Config, users: list[str] | None, out: str | None) -> None:
    """Judge a saved run again: the same figures from the files that it left."""
    from lkgrag.errors import nearest
    from lkgrag.judge import judge
    from lkgrag.ranker import Ranker
    from lkgrag.setup import device
    from lkgrag.stages import load_data, stage_retrieval

    prepare_process(config)
    loaded = load_data(config)
    x = loaded.interactions
    chosen = None
    if users is not None:
        index = {user: n for n, user in enumerate(x.user_ids)}
        for user in users:
            if user not in index:
                from lkgrag.errors import DataError

                raise DataError(f"users={user}: no such user.{nearest(user, x.user_ids)}")
        chosen = np.asarray([index[u] for u in users])
    cache = StageCache(Path(config.cache.root), config.cache.enabled)
    one = stage_retrieval(cache, config, loaded, device())
    ranker = Ranker.from_pretrained(folder / RANKER)
    context = ranker.context
    assert context is not None
    judged = judge(
        config,
        loaded,
        ranker,
        context.data,
        context.finder,
        one.val,
        one.test,
        None,
        users=chosen,
        refit=chosen is None,
    )
    metrics = judged.metrics(config.evaluation.ks)
    display.table(metrics, judged.differences(config.evaluation.bootstrap, config.seed))
    if out is not None:
        write_json(Path(out), metrics)
