"""The run: data, graph, stage one, scorer, ranker, evaluation, explanations; each stage resumable."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

from lkgrag.data.dataset import Dataset
from lkgrag.data.memory import in_memory
from lkgrag.data.readers import files_digest
from lkgrag.errors import RunError
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.evaluation.score_cache import ScoreCache
from lkgrag.paths import graph_paths
from lkgrag.prompt.order import CandidateOrder
from lkgrag.run import display
from lkgrag.run.cache import StageCache
from lkgrag.run.context import RunContext
from lkgrag.run.folder import open_run, run_folder
from lkgrag.run.keys import code_of_others
from lkgrag.run.launch import (
    PATIENCE,
    refuse_other_engines,
    refuse_other_parallelism,
    refuse_shared_devices,
    warn_of_mixed_precision,
)
from lkgrag.run.outputs import (
    explain_events,
    faithfulness_of,
    metrics_of,
    serving_context,
    write_files,
)
from lkgrag.run.preflight import preflight
from lkgrag.run.ranker_stages import build_ranker, stage_scorer, training_queries
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.saved_run import finished
from lkgrag.training.checkpoint import Checkpoint
from lkgrag.training.loop import Trainer
from lkgrag.training.probe import probe_head
from lkgrag.training.sharding import is_sharded
from lkgrag.utils.console import bar
from lkgrag.utils.device import set_threads
from lkgrag.utils.files import read_json
from lkgrag.utils.layout import EXPLANATIONS

if TYPE_CHECKING:
    from lkgrag.config import Config, DataConfig
    from lkgrag.data import Interactions, Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.ranker.model import RankerModel

log = logging.getLogger(__name__)

#: Prompts that training takes on a CPU unless ``training.max_examples`` says otherwise: about ten
#: minutes of the default language model on two cores.
CPU_BUDGET = 800
#: Scores of an interrupted evaluation and the checkpoint of an interrupted training, below the run's folder.
CHECKPOINTS = "checkpoints"


def train(config: Config, interactions: Interactions | None = None) -> Path:
    """Carry out a run, or print the table of a finished one.

    Args:
        config: of the run.
        interactions: data in memory, in place of the files that ``config.data`` names; they are
            filtered and ordered already, and only split.

    Returns:
        The run's folder.

    Raises:
        LkgragError: an option, a file, the language model or the folder is not what it must be; the
            message says what to do.
    """
    if interactions is not None:
        config = dataclasses.replace(config, data=in_memory(config.data, interactions))
    threads = set_threads(config.threads)
    refuse_other_engines()
    refuse_shared_devices()
    warn_of_mixed_precision()
    accelerator = _accelerator(run_folder(config), config.training.tracker)
    refuse_other_parallelism(accelerator)
    is_main = accelerator.is_main_process
    show = display.StageDisplay(is_main)
    dataset = None
    if config.overwrite or finished(run_folder(config)) is None:
        # What can be refused is refused before a file is written or an old run deleted.
        dataset = _prepare(config, interactions, accelerator, show)
    with open_run(config, is_main) as folder:
        # No other process may read a checkpoint that the first one is about to delete.
        accelerator.wait_for_everyone()
        metrics = None if dataset else finished(folder)
        if metrics is not None:
            code = partial(
                code_of_others, config.retrieval, config.scorer, config.prompt, config.llm
            )
            _refuse_other_data(config.data, code, folder, metrics)
        else:
            dataset = dataset or _prepare(config, interactions, accelerator, show)
            cache = StageCache(Path(config.cache.root), config.cache.enabled)
            begun = time.perf_counter()
            context = RunContext(folder, cache, accelerator, show, threads, begun)
            metrics = _carry_out(config, dataset, context)
        if is_main:
            display.results(metrics, read_json(folder / EXPLANATIONS), folder)
    with suppress(Exception):
        accelerator.end_training()
    return folder


def _accelerator(folder: Path, tracker: str) -> Accelerator:
    """Accelerate's side of a run; types are the library's own, so mixed precision is off."""
    return Accelerator(
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        log_with="tensorboard" if tracker == "tensorboard" else None,
        project_config=ProjectConfiguration(
            project_dir=str(folder), logging_dir=str(folder / "tensorboard")
        ),
    )


def _refuse_other_data(
    data: DataConfig, code_now: Callable[[], dict[str, str]], folder: Path, metrics: dict[str, Any]
) -> None:
    """Stop before the table of a finished run is shown for data or code that it is not of.

    Raises:
        RunError: the files of ``data.root``, or custom code, are not those that the run was made of.
    """
    files = files_digest(data)
    if files is not None and files != metrics.get("data", {}).get("files", files):
        raise RunError(
            f"{folder} holds a run of other data: the files of data.root={data.root}, or the code of "
            "their reader, have changed since; begin anew with overwrite=true, or choose another out="
        )
    code_then = metrics.get("code") or {}
    code = code_now() if code_then else {}
    for option, then in code_then.items():
        if code.get(option) != then:
            raise RunError(
                f"{folder} holds a run of other code: the module of {option} has changed since; begin anew "
                "with overwrite=true, or choose another out="
            )


def _prepare(
    config: Config,
    interactions: Interactions | None,
    accelerator: Accelerator,
    show: display.StageDisplay,
) -> Dataset:
    """Check the options against this machine, and read the data."""
    preflight(config.retrieval, config.scorer, config.prompt, config.llm, accelerator.device)
    show.start("interactions")
    dataset = load_dataset(config, interactions)
    show.interactions(dataset)
    return dataset


def _carry_out(config: Config, dataset: Dataset, context: RunContext) -> dict[str, Any]:
    """All stages from the graph on, in the order of the data's flow."""
    accelerator, show = context.accelerator, context.display
    stages = Stages(context.cache, config, dataset, accelerator.device)
    show.start("knowledge graph")
    data = stages.kg(dataset.split.train_end)
    show.graph(data)
    show.start("retrieval: LRURec, counts, graph, fusion")
    one = stages.retrieval()
    show.retrieval(one, dataset, config.retrieval.k)
    show.start("paths and scorer")
    graph = graph_paths(data, config.paths)
    fit_graph = graph_paths(stages.kg(one.fit_end), config.paths)
    examples = training_queries(stages, one)
    scorer, pretraining = stage_scorer(stages, fit_graph, examples)
    show.scorer(graph, examples, pretraining)
    show.start("ranker: language model, LoRA, fusion")
    model = build_ranker(stages, data, scorer, pretraining, fit_graph, examples)
    fitted = _fit(stages, context, model, fit_graph, examples)
    learned = model.fusion.weights
    show.start("evaluation")
    evaluator = Evaluator(
        dataset.interactions,
        graph,
        config.evaluation,
        CandidateOrder(config.prompt.order, config.seed),
        config.paths.history,
        accelerator,
        ScoreCache(context.folder / CHECKPOINTS, stages.keys.scores()),
    )
    evaluation = evaluator.evaluate(model, {"val": one.val, "test": one.test})
    model.fusion.load_state_dict(evaluation.fusion.state_dict())
    ranker = Ranker(model, serving_context(stages, graph, one, learned))
    metrics: dict[str, Any] = {}
    # A sharded model's forward passes are a common act: all take part in the first process'.
    takes_part = context.is_main or is_sharded(accelerator)
    if takes_part:
        faithfulness = faithfulness_of(stages, model, graph, one.test)
    if context.is_main:
        seconds = {**context.cache.seconds, "ranker": fitted.seconds}
        metrics = metrics_of(stages, context, one, ranker, evaluation, faithfulness, seconds)
    # The groups of a sharded model's passes have NCCL's patience, only this one has ours.
    accelerator.wait_for_everyone()
    if takes_part:
        explained = explain_events(ranker, dataset.interactions, one.test)
    if context.is_main:
        curves = {
            "ranker": fitted.curve,
            "scorer": pretraining.curve,
            "lrurec": one.report.get("lrurec_curve", []),
        }
        write_files(context.folder, ranker, dataset, evaluation, curves, explained, metrics)
    accelerator.wait_for_everyone()
    return metrics


@dataclass(frozen=True)
class Fitted:
    """What stage two's training leaves beside the weights.

    Attributes:
        curve: a row a step.
        seconds: that it took.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def _fit(
    stages: Stages,
    context: RunContext,
    model: RankerModel,
    graph: GraphPaths,
    examples: Queries,
) -> Fitted:
    """Stage two's training within its budget."""
    if model.lm is None or not len(examples):
        return Fitted()
    config, accelerator = stages.config, context.accelerator
    training = config.training
    if training.max_examples < 0 and accelerator.device.type != "cuda":
        training = dataclasses.replace(training, max_examples=CPU_BUDGET)
    trainer = Trainer(
        model,
        graph,
        examples,
        training,
        CandidateOrder(config.prompt.order, config.seed),
        accelerator,
        Checkpoint(context.folder / CHECKPOINTS, stages.keys.training()),
    )
    if training.probe > 0 and not trainer.has_checkpoint:
        most = training.probe
        if training.max_examples > 0:
            most = min(most, training.max_examples)
        _probe(trainer, most, config.evaluation.batch_size, context.display)
    if accelerator.trackers or training.tracker == "tensorboard":
        accelerator.init_trackers("ranker")
    with bar("train the ranker", context.is_main) as update:
        curve = trainer.fit(update)
    context.display.training(curve, examples, sum(len(b) for b in trainer.batches))
    return Fitted(curve, trainer.seconds)


def _probe(trainer: Trainer, most: int, batch_size: int, show: display.StageDisplay) -> None:
    """Fit the readout's head on the first prompts, before all else learns."""
    with bar("probe the language model", trainer.accelerator.is_main_process) as update:
        correlation = probe_head(
            trainer.model,
            trainer.graph,
            trainer.queries,
            most,
            batch_size,
            trainer.seed,
            update,
        )
    if correlation is not None:
        show.say(
            f"readout probed: correlation with the scorer {correlation:.2f} on held-out prompts"
        )
