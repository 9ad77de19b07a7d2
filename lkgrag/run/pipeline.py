"""The run: data, graph, stage one, scorer, ranker, evaluation, explanations; each stage resumable."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.config.identity import computed, digest
from lkgrag.run import display
from lkgrag.run.cache import StageCache
from lkgrag.run.folder import finished, open_run, run_folder
from lkgrag.run.keys import code_of_others
from lkgrag.run.launch import (
    PATIENCE,
    refuse_other_engines,
    refuse_other_parallelism,
    refuse_shared_devices,
    warn_of_mixed_precision,
)
from lkgrag.run.outputs import (
    EXPLANATIONS,
    evidence,
    explain_events,
    metrics_of,
    serving_context,
    write_files,
)
from lkgrag.utils.console import bar
from lkgrag.utils.device import prepare_process
from lkgrag.utils.files import read_json

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lkgrag.config import Config
    from lkgrag.data import Interactions
    from lkgrag.ranker.model import Ranker
    from lkgrag.run.stages import Loaded
    from lkgrag.training.loop import Trainer

log = logging.getLogger(__name__)

#: Prompts that training takes on a CPU unless ``training.max_examples`` says otherwise: about ten
#: minutes of the default language model on two cores.
CPU_BUDGET = 800


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
        from lkgrag.data.memory import in_memory

        config = in_memory(config, interactions)
    threads = prepare_process(config)
    refuse_other_engines()
    refuse_shared_devices()
    warn_of_mixed_precision()
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

    accelerator = Accelerator(
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        log_with="tensorboard" if config.training.tracker == "tensorboard" else None,
        project_config=ProjectConfiguration(
            project_dir=str(run_folder(config)), logging_dir=str(run_folder(config) / "tensorboard")
        ),
    )
    refuse_other_parallelism(accelerator)
    main = accelerator.is_main_process
    show = display.Stages(main)
    loaded = None
    if config.overwrite or finished(run_folder(config)) is None:
        # What can be refused is refused before a file is written or an old run deleted.
        loaded = _prepare(config, interactions, accelerator, show)
    with open_run(config, main) as folder:
        # No other process may read a checkpoint that the first one is about to delete.
        accelerator.wait_for_everyone()
        done = None if loaded else finished(folder)
        if done is not None:
            _refuse_other_data(config, folder, done)
        else:
            loaded = loaded or _prepare(config, interactions, accelerator, show)
            done = _carry_out(config, folder, accelerator, threads, loaded, show)
        if main:
            display.results(done, read_json(folder / EXPLANATIONS), folder)
    with suppress(Exception):
        accelerator.end_training()
    return folder


def _refuse_other_data(config: Config, folder: Path, done: dict[str, Any]) -> None:
    """Stop before the table of a finished run is shown for data or code that it is not of.

    Raises:
        RunError: the files of ``data.root``, or a scorer or verbaliser of someone else's, are not those that
            the run was made of.
    """
    from lkgrag.data.readers import files_digest
    from lkgrag.errors import RunError

    now = files_digest(config.data)
    if now is not None and now != done.get("data", {}).get("files", now):
        raise RunError(
            f"{folder} holds a run of other data: the files of data.root={config.data.root}, or the code of "
            "their reader, have changed since; begin anew with overwrite=true, or choose another out="
        )
    then_of = done.get("code") or {}
    code = code_of_others(config) if then_of else {}
    for option, then in then_of.items():
        if code.get(option) != then:
            raise RunError(
                f"{folder} holds a run of other code: the module of {option} has changed since; begin anew "
                "with overwrite=true, or choose another out="
            )


def _prepare(
    config: Config,
    interactions: Interactions | None,
    accelerator: Accelerator,
    show: display.Stages,
) -> Loaded:
    """Check the options against this machine, and read the data."""
    from lkgrag.run.preflight import preflight
    from lkgrag.run.stages import load_data

    preflight(config, accelerator.device)
    show.start("interactions")
    loaded = load_data(config, interactions)
    show.interactions(loaded)
    return loaded


def _carry_out(
    config: Config,
    folder: Path,
    accelerator: Accelerator,
    threads: int,
    loaded: Loaded,
    show: display.Stages,
) -> dict[str, Any]:
    """All stages from the graph on, in the order of the data's flow."""
    from lkgrag.paths import path_finder
    from lkgrag.run.ranker_stages import build_ranker, stage_scorer, training_queries
    from lkgrag.run.stages import stage_kg, stage_retrieval
    from lkgrag.training.sharding import is_sharded

    start = time.perf_counter()
    cache = StageCache(Path(config.cache.root), config.cache.enabled)
    device = accelerator.device
    show.start("knowledge graph")
    data = stage_kg(cache, config, loaded, loaded.split.train_end)
    show.graph(data)
    show.start("retrieval: LRURec, counts, graph, fusion")
    one = stage_retrieval(cache, config, loaded, device)
    show.retrieval(one, loaded, config.retrieval.k)
    show.start("paths and scorer")
    fit_data = stage_kg(cache, config, loaded, one.fit_end)
    finder, fit_finder = path_finder(data, config.paths), path_finder(fit_data, config.paths)
    examples = training_queries(config, loaded, one)
    scorer, history = stage_scorer(cache, config, loaded, fit_data, fit_finder, examples)
    show.scorer(finder, examples, history)
    show.start("ranker: language model, LoRA, fusion")
    ranker = build_ranker(config, data, scorer, fit_finder, examples, history, device)
    curve, cache.seconds["ranker"] = _fit(
        config, folder, accelerator, ranker, fit_data, fit_finder, examples, loaded, show
    )
    ranker.learned = (ranker.fusion.a.item(), ranker.fusion.b.item())
    show.start("evaluation")
    from lkgrag.evaluation.evaluator import judge

    judged = judge(
        config,
        loaded,
        ranker,
        data,
        finder,
        one.val,
        one.test,
        accelerator,
        keep=folder / "checkpoints",
    )
    context = serving_context(config, loaded, data, finder, one)
    metrics: dict[str, Any] = {}
    main, sharded = accelerator.is_main_process, is_sharded(accelerator)
    if main or sharded:
        # A sharded model's forward passes are a common act: all take part in the first process'.
        ranker.context = context
        found = evidence(config, loaded, ranker, data, finder, one)
    if main:
        metrics = metrics_of(
            config, loaded, one, judged, found, cache, threads, accelerator, ranker, start
        )
    # The groups of a sharded model's passes have NCCL's patience, only this one has ours.
    accelerator.wait_for_everyone()
    if main or sharded:
        explained = explain_events(config, loaded, ranker, one)
    if main:
        curves = {"ranker": curve, "scorer": history.curve}
        write_files(config, folder, loaded, ranker, judged, curves, one, explained, metrics)
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
) -> tuple[list[dict[str, float]], float]:
    """Stage two's training within its budget: its curve, and the seconds that it took."""
    from lkgrag.training.loop import Trainer

    if ranker.lm is None or not len(examples):
        return [], 0.0
    limit: int | None = config.training.max_examples
    if limit is not None and limit < 0:
        limit = None if accelerator.device.type == "cuda" else CPU_BUDGET
    trainer = Trainer(
        ranker,
        fit_data,
        fit_finder,
        examples,
        config.training,
        config.prompt,
        accelerator,
        folder / "checkpoints",
        _training_key(config, loaded),
        config.seed,
        limit,
    )
    if config.training.probe > 0 and not trainer.has_checkpoint:
        _probe(config, trainer, limit, show)
    if accelerator.trackers or config.training.tracker == "tensorboard":
        accelerator.init_trackers("ranker")
    with bar("train the ranker", accelerator.is_main_process) as update:
        curve = trainer.fit(update)
    show.training(curve, examples, sum(len(b) for b in trainer.batches))
    return curve, trainer.seconds


def _training_key(config: Config, loaded: Loaded) -> str:
    """A hash of what stage two's training depends on; a checkpoint of another is refused."""
    from lkgrag.run.stages import retrieval_key

    sections, options = ("paths", "scorer", "prompt", "llm", "training"), computed(config)
    return digest(
        {
            **retrieval_key(config, loaded),
            **{s: options[s] for s in sections},
            **code_of_others(config),
        }
    )


def _probe(config: Config, trainer: Trainer, limit: int | None, show: display.Stages) -> None:
    """Fit the readout's head on the first prompts, before all else learns."""
    from lkgrag.training.probe import probe_head

    most = config.training.probe
    with bar("probe the language model", trainer.accelerator.is_main_process) as update:
        found = probe_head(
            trainer.ranker,
            trainer.data,
            trainer.finder,
            trainer.queries,
            min(most, limit or most),
            config.evaluation.batch_size,
            config.seed,
            update,
        )
    if found is not None:
        show.say(f"readout probed: correlation with the scorer {found:.2f} on held-out prompts")
