"""The trackers of a run: Accelerate's own, guarded so that none can stop the training."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.tracking import MLflowTracker, TensorBoardTracker, WandBTracker

from lkgrag.config.schema import tracker_names
from lkgrag.errors import LkgragError
from lkgrag.run.guarded import STEP_OF, TRAIN, Guarded
from lkgrag.run.tracker_checks import OPTION, impatient
from lkgrag.run.tracker_files import fail_mlflow, put_into_mlflow, put_into_wandb
from lkgrag.run.tracker_values import (
    final_figures,
    flat_options,
    tables,
)
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.layout import METRICS, PAGE, TRACKED_STEPS, TRACKING

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.tracking import GeneralTracker

    from lkgrag.config import Config

log = logging.getLogger(__name__)

#: Name of the project of W&B and of the experiment of MLflow, where the environment names no other.
PROJECT = "lkgrag"
#: Seconds that the end of a run waits for a tracker.
PATIENCE = 120.0


class Tracking:
    """Logs a run to its trackers, from its first process alone.

    A run that was killed goes on in the same runs of the trackers: their ids, and what was logged, are in the run's
    folder.

    Args:
        config: of the run.
        folder: of the run.
        accelerator: whose trackers they become.
    """

    def __init__(self, config: Config, folder: Path, accelerator: Accelerator) -> None:
        self.config, self.folder, self.accelerator = config, folder, accelerator
        is_main = bool(accelerator.is_main_process)
        self.names = tracker_names(config.training.tracker) if is_main else []
        #: What was logged and is not safe yet: when it is, to which tracker, and its name.
        self._pending: list[tuple[float, str, str]] = []
        #: By tracker, the id of its run and the names of what was logged to it.
        self._runs: dict[str, dict[str, Any]] = {}
        with suppress(LkgragError):
            found = read_json(folder / TRACKING)
            for name, run in (found if isinstance(found, dict) else {}).items():
                if isinstance(run, dict) and isinstance(run.get("done"), list):
                    self._runs[name] = {"id": run.get("id"), "done": run["done"]}

    @property
    def trackers(self) -> list[Guarded]:
        """Those that have started."""
        return [t for t in self.accelerator.trackers if isinstance(t, Guarded)]

    def start(self) -> None:
        """Start the trackers of whole runs, and give them the options."""
        options = flat_options(self.config)
        for name in self.names:
            if name == "tensorboard":
                continue
            known = self._runs.get(name, {}).get("id")
            guarded = self._begin(name, known)
            # MLflow takes an option once.
            if name == "wandb" or (guarded.is_alive and self._runs[name]["id"] != known):
                guarded.store_init_configuration(options)
        self._keep()

    def start_training(self) -> None:
        """Start TensorBoard, which writes learning curves where a language model is trained."""
        if "tensorboard" in self.names:
            folder = self.folder / "tensorboard"
            self._add(Guarded(TensorBoardTracker("ranker", folder)))

    def _begin(self, name: str, known: str | None) -> Guarded:
        """Start a tracker, in the run of an earlier process if there was one."""
        steps = self.folder / TRACKED_STEPS[name]
        if known is not None:
            guarded = Guarded(self._build(name, known), steps)
            # It may have been deleted meanwhile.
            with suppress(Exception):
                guarded.inner.start()
                self.accelerator.trackers.append(guarded)
                self._name_steps(guarded)
                return guarded
            steps.unlink(missing_ok=True)
        guarded = Guarded(self._build(name, None), steps)
        self._add(guarded)
        if guarded.is_alive:
            if known is not None:
                log.warning("%s=%s: its run %s is gone; a new one begins", OPTION, name, known)
            self._name_steps(guarded)
            self._runs[name] = {"id": run_id(guarded), "done": []}
        return guarded

    def _add(self, guarded: Guarded) -> None:
        guarded.start()
        if guarded.is_alive:
            self.accelerator.trackers.append(guarded)

    def _build(self, name: str, known: str | None) -> GeneralTracker:
        """One of Accelerate's trackers, which has not started."""
        if name == "mlflow":
            impatient()
            # Only here: a run without it does not wait for it.
            import mlflow

            is_nested = mlflow.active_run() is not None
            return MLflowTracker(
                experiment_name=PROJECT,
                run_id=known,
                run_name=self.folder.name,
                nested_run=is_nested,
            )
        # Only here, as above.
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        return WandBTracker(
            os.environ.get("WANDB_PROJECT") or PROJECT,
            name=self.folder.name,
            id=known,
            resume="allow",
            dir=str(self.folder),
            # Command line, console and code are not sent: they may hold secrets.
            settings=wandb.Settings(
                console="off", disable_code=True, disable_git=True, x_disable_meta=True, silent=True
            ),
        )

    def _name_steps(self, guarded: Guarded) -> None:
        """Tell W&B what the points of each curve are numbered by."""
        if guarded.name != "wandb":
            return
        run = guarded.tracker
        for curve, step in STEP_OF.items():
            guarded.guard(partial(run.define_metric, f"{curve}/*", step_metric=f"{curve}/{step}"))

    def log_curve(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Log the curve of a stage that is complete, once.

        Args:
            name: of the stage, one of :data:`STEP_OF`.
            rows: one for each epoch; ``epoch`` is its number.
        """
        for guarded in self._without(name):
            for number, row in enumerate(rows, start=1):
                values = {f"{name}/{key}": value for key, value in row.items()}
                guarded.log(values, step=int(row.get("epoch", number)))
            self._mark(guarded, name)

    def log_training(self, curve: list[dict[str, Any]]) -> None:
        """Log what is missing of the ranker's training, such as steps before a kill that a tracker had not written.

        Args:
            curve: one row a step, as the loop logs it.
        """
        for guarded in self.trackers:
            if guarded.name in self._runs:
                for row in curve:
                    values = {f"{TRAIN}/{key}": value for key, value in row.items()}
                    guarded.log(values, step=int(row["step"]))

    def log_results(self, metrics: dict[str, Any]) -> None:
        """Log the final figures and tables, and the report and ``metrics.json`` as files, once.

        Args:
            metrics: content of ``metrics.json``.
        """
        figures, found = final_figures(metrics), tables(metrics)
        files = [f for f in (self.folder / PAGE, self.folder / METRICS) if f.is_file()]
        for guarded in self._without("results"):
            if guarded.name == "tensorboard":
                continue
            guarded.log(figures)
            put = put_into_mlflow if guarded.name == "mlflow" else put_into_wandb
            guarded.guard(partial(put, guarded.inner, found, files))
            self._mark(guarded, "results")

    def finish(self, has_failed: bool) -> None:
        """End the trackers' runs; a tracker that does not answer is left after some time.

        Args:
            has_failed: whether the run did.
        """
        for guarded in self.trackers:
            if guarded.name == "wandb":
                # It may wait for the network; a thread that does not end is left to the end of the process.
                end = partial(guarded.tracker.finish, exit_code=int(has_failed))
                thread = threading.Thread(target=guarded.guard, args=(end,), daemon=True)
                thread.start()
                thread.join(PATIENCE)
                if thread.is_alive():
                    log.warning(
                        "%s=wandb: W&B does not answer; its last values may be lost", OPTION
                    )
                else:
                    guarded.note_all()
            elif guarded.name == "mlflow" and has_failed:
                guarded.guard(fail_mlflow)
            else:
                guarded.finish()
            self.accelerator.trackers.remove(guarded)
        self._keep(is_over=True)

    def _without(self, name: str) -> list[Guarded]:
        """The trackers that something was not logged to."""
        return [t for t in self.trackers if name not in self._runs.get(t.name, {}).get("done", [])]

    def _mark(self, guarded: Guarded, name: str) -> None:
        """Note that something was logged, once it is safe from a kill."""
        if guarded.is_alive and guarded.name in self._runs:
            self._pending.append((time.monotonic() + guarded.lag, guarded.name, name))
            self._keep()

    def _keep(self, is_over: bool = False) -> None:
        """Write ids, and what was logged, for a process that goes on.

        Args:
            is_over: whether the trackers have ended, so that all is safe.
        """
        now = time.monotonic()
        for when, tracker, name in self._pending:
            if is_over or when <= now:
                self._runs[tracker]["done"].append(name)
        self._pending = [] if is_over else [p for p in self._pending if p[0] > now]
        if self._runs:
            with suppress(LkgragError):
                write_json(self.folder / TRACKING, self._runs)


@contextmanager
def tracked(config: Config, folder: Path, accelerator: Accelerator) -> Iterator[Tracking]:
    """The trackers of a run, which end with the block.

    Args:
        config: of the run.
        folder: of the run.
        accelerator: of the run.
    """
    tracking = Tracking(config, folder, accelerator)
    tracking.start()
    try:
        yield tracking
    except BaseException:
        tracking.finish(True)
        raise
    tracking.finish(False)


def run_id(guarded: Guarded) -> str | None:
    """The id of a tracker's run; None if it cannot be told."""
    run = guarded.tracker
    value = run.info.run_id if guarded.name == "mlflow" else run.id
    return None if value is None else str(value)
