"""The run: data, graph, stage one, scorer, ranker, evaluation, explanations; each stage resumable."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

from lkgrag.config.checks import check
from lkgrag.config.identity import to_dict
from lkgrag.config.loading import expand_paths
from lkgrag.data.dataset import Dataset
from lkgrag.data.memory import in_memory
from lkgrag.data.readers import files_digest
from lkgrag.errors import RunError
from lkgrag.evaluation.user_groups import check_attributes
from lkgrag.retrieval.index.choice import check_index
from lkgrag.run import display
from lkgrag.run.agreement import (
    refuse_other_data,
    refuse_other_folders,
    refuse_other_options,
    refuse_other_versions,
)
from lkgrag.run.budget import choose_budget
from lkgrag.run.cache import StageCache
from lkgrag.run.context import RunContext
from lkgrag.run.folder import open_run, run_folder
from lkgrag.run.keys import StageKeys, hash_custom_code
from lkgrag.run.launch import (
    GO_ON,
    PATIENCE,
    launched,
    refuse_other_engines,
    refuse_other_parallelism,
    refuse_shared_devices,
    warn_of_mixed_precision,
)
from lkgrag.run.learning import build_evaluator, learn
from lkgrag.run.outputs import (
    build_context,
    check_faithfulness,
    collect_metrics,
    explain_events,
    write_files,
)
from lkgrag.run.preflight import preflight
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.run.tracker_checks import check_trackers
from lkgrag.run.tracking import tracked
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.request_factor import fit_request_factor
from lkgrag.serving.saved_run import check_run, read_metrics
from lkgrag.training.sharding import is_sharded
from lkgrag.utils.device import set_threads
from lkgrag.utils.duck_limits import check_limits
from lkgrag.utils.files import read_json
from lkgrag.utils.group import Group
from lkgrag.utils.layout import EXPLANATIONS
from lkgrag.utils.progress import activity, rename_activity

if TYPE_CHECKING:
    from lkgrag.config import Config, DataConfig
    from lkgrag.data import Interactions

log = logging.getLogger(__name__)


@activity("check the options")
def train(config: Config, interactions: Interactions | None = None, is_kept: bool = True) -> Path:
    """Carry out a run, or print the tables of a finished one.

    Args:
        config: of the run.
        interactions: data in memory that replace the files of ``config.data``. They are filtered and ordered
            already; the run only splits them.
        is_kept: whether the folder stays. Otherwise only the table of the test and its verdict are printed, and nothing
            that names the folder.

    Returns:
        The run's folder.

    Raises:
        LkgragError: an option, a file, the language model or the folder cannot be used; the message says
            what to do.
    """
    check(config)
    config = expand_paths(config)
    if interactions is not None:
        config = dataclasses.replace(config, data=in_memory(config.data, interactions))
    threads = set_threads(config.threads)
    refuse_other_engines()
    refuse_shared_devices()
    warn_of_mixed_precision()
    start = partial(_build_accelerator, run_folder(config))
    with launched(config.nodes, GO_ON, start) as accelerator:
        refuse_other_parallelism(accelerator)
        group = Group.of(accelerator.device)
        refuse_other_versions(group)
        refuse_other_options(group, to_dict(config))
        return _train(config, interactions, is_kept, accelerator, threads)


def _train(
    config: Config,
    interactions: Interactions | None,
    is_kept: bool,
    accelerator: Accelerator,
    threads: int,
) -> Path:
    """Carry out a run as one of its processes; arguments as of :func:`train`.

    Args:
        config: of the run, checked.
        interactions: data in memory.
        is_kept: whether the folder stays.
        accelerator: of the run.
        threads: CPU threads of this process.
    """
    is_main = accelerator.is_main_process
    group = Group.of(accelerator.device)
    show = display.StageDisplay(is_main)
    dataset = None
    # The first process decides: another one may not see its folder.
    if group.share(config.overwrite or read_metrics(run_folder(config)) is None):
        # All checks come before a file is written or an old run deleted.
        dataset = _check_and_load(config, interactions, accelerator, show)
    with open_run(config, is_main) as folder:
        refuse_other_folders(group, {"out": folder})
        # No other process may read a checkpoint that the first one is about to delete.
        accelerator.wait_for_everyone()
        metrics = None if dataset else read_metrics(folder)
        if group.share(metrics is not None) and metrics is not None:
            hash_code = partial(
                hash_custom_code, config.retrieval, config.scorer, config.prompt, config.llm
            )
            _refuse_other_data(config.data, hash_code, folder, metrics)
        else:
            dataset = dataset or _check_and_load(config, interactions, accelerator, show)
            cache = StageCache(Path(config.cache.root), config.cache.enabled)
            _refuse_other_cache(group, cache, StageKeys(dataset.key, config))
            begun = time.perf_counter()
            budget = choose_budget(config, accelerator.device)
            with tracked(config, folder, accelerator) as tracking:
                context = RunContext(
                    folder, cache, accelerator, show, threads, begun, budget, tracking
                )
                metrics = _run_stages(config, dataset, context)
        if is_main:
            check_run(folder, EXPLANATIONS)
            explained = read_json(folder / EXPLANATIONS) if is_kept else []
            place = folder if is_kept else None
            display.print_results(metrics, explained, place, config.evaluation.ks)
    with suppress(Exception):
        accelerator.end_training()
    return folder


def _refuse_other_cache(group: Group, cache: StageCache, keys: StageKeys) -> None:
    """Refuse a cache that the processes do not share, unless each has stage one and the scorer in its own.

    Raises:
        RunError: naming a process that does not see the first one's cache and lacks a stage.
    """
    stages = {"retrieval": keys.retrieval(), "scorer": keys.scorer()}
    has_all = all(cache.is_complete(name, key) for name, key in stages.items())
    if not all(group.gather(has_all)):
        refuse_other_folders(group, {"cache.root": cache.root})


def _build_accelerator(folder: Path) -> Accelerator:
    """Accelerate for a run, without mixed precision: the options of lkgrag decide on dtypes."""
    return Accelerator(
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        project_config=ProjectConfiguration(project_dir=str(folder)),
    )


def _refuse_other_data(
    data: DataConfig, hash_code: Callable[[], dict[str, str]], folder: Path, metrics: dict[str, Any]
) -> None:
    """Refuse to show the tables of a finished run if its data or custom code have changed since.

    Args:
        data: options of the data.
        hash_code: gives the hashes of the custom code as it is now.
        folder: of the finished run.
        metrics: of the finished run.

    Raises:
        RunError: the files of ``data.root``, or custom code, differ from those of the run.
    """
    files = files_digest(data)
    if files is not None and files != metrics.get("data", {}).get("files", files):
        raise RunError(
            f"{folder} holds a run of other data: the files of data.root={data.root}, or the code of "
            "their reader, have changed since; begin anew with overwrite=true, or choose another out="
        )
    code_of_run = metrics.get("code") or {}
    code = hash_code() if code_of_run else {}
    for option, value in code_of_run.items():
        if code.get(option) != value:
            raise RunError(
                f"{folder} holds a run of other code: the module of {option} has changed since; begin anew "
                "with overwrite=true, or choose another out="
            )


def _check_and_load(
    config: Config,
    interactions: Interactions | None,
    accelerator: Accelerator,
    show: display.StageDisplay,
) -> Dataset:
    """Check the options, trackers and models on this machine, then read the data."""
    check_trackers(config.training.tracker)
    preflight(config, accelerator.device)
    check_index(config.serving.index)
    if config.engine.name != "memory":
        check_limits(config.engine, is_needed=config.engine.name == "duckdb")
    show.start("interactions")
    dataset = load_dataset(config, interactions)
    refuse_other_data(Group.of(accelerator.device), dataset.key)
    check_attributes(dataset.interactions.users, config.evaluation.groups)
    show.show_interactions(dataset)
    return dataset


def _run_stages(config: Config, dataset: Dataset, context: RunContext) -> dict[str, Any]:
    """Carry out all stages from the graph on, in the order of the data's flow.

    Returns:
        The content of ``metrics.json`` on the first process, empty on all others.
    """
    accelerator, show = context.accelerator, context.display
    stages = Stages(context.cache, config, dataset, accelerator.device)
    learned = learn(stages, context)
    stage_one, graph, model = learned.stage_one, learned.graph, learned.model
    weights = model.fusion.weights
    show.start("evaluation")
    evaluation = build_evaluator(stages, context, graph).evaluate(
        model, {"val": stage_one.val, "test": stage_one.test}
    )
    model.fusion.load_state_dict(evaluation.fusion.state_dict())
    ranker = Ranker(model, build_context(stages, graph, stage_one, weights, evaluation.weights))
    metrics: dict[str, Any] = {}
    rename_activity("explanations and intervals")
    # A forward pass of a sharded model needs all processes, so they join those of the first one.
    takes_part = context.is_main or is_sharded(accelerator)
    if takes_part:
        faithfulness = check_faithfulness(stages, model, graph, stage_one.test)
    if context.is_main:
        ranker.context.requests = fit_request_factor(
            model, ranker.context, dataset.interactions, dataset.split.val
        )
        seconds = {**context.cache.seconds, "ranker": learned.training.seconds}
        metrics = collect_metrics(
            stages, context, stage_one, ranker, evaluation, faithfulness, seconds
        )
    # The others wait here with the run's own limit; in a sharded model's pass NCCL's short limit holds.
    accelerator.wait_for_everyone()
    if takes_part:
        serving = ranker.with_serving(config.serving.lm)
        explained = explain_events(serving, dataset.interactions, stage_one.test)
    if context.is_main:
        rename_activity("ranker's files and report")
        curves = {
            "ranker": learned.training.curve,
            "scorer": learned.pretraining.curve,
            "lrurec": stage_one.report.get("lrurec_curve", []),
        }
        write_files(context.folder, ranker, dataset, evaluation, curves, explained, metrics)
        context.tracking.log_results(metrics)
    accelerator.wait_for_everyone()
    return metrics
