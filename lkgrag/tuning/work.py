"""One process's work on a study: trial after trial, and what it says of them."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import TrialState

from lkgrag.config import NO_LLM
from lkgrag.config.fields import show
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError, RunError, short
from lkgrag.evaluation.metrics import metric_label
from lkgrag.run.cache import StageCache
from lkgrag.tuning.disk import free_losers
from lkgrag.tuning.outcome import (
    BUILT,
    CONFIRMED,
    RETRIEVER,
    SECONDS,
    STAGE,
    USED,
    Outcome,
    gains_file,
)
from lkgrag.tuning.pruning import PrunedError, StageReporter
from lkgrag.tuning.results import BEST, PAGE
from lkgrag.tuning.store import DEFAULTS, ERROR, Begun, StudyStore, patiently
from lkgrag.tuning.trial import Workshop, run_trial
from lkgrag.utils import console as terminal
from lkgrag.utils.activity import format_duration
from lkgrag.utils.console import console
from lkgrag.utils.failures import explain, shorten
from lkgrag.utils.progress import activity
from lkgrag.utils.watching import watched

if TYPE_CHECKING:
    from optuna.trial import Trial

    from lkgrag.config import Config
    from lkgrag.tuning.options import TuneOptions

log = logging.getLogger(__name__)
#: Trials that may fail at the beginning; if nothing else has happened then, the study ends.
MOST_FAILED = 5
#: Options of every trial: no curves are tracked.
QUIET = {"training.tracker": "none"}
#: Longest reason that is kept of a failed trial.
LONGEST_REASON = 500


class StudyWork:
    """One process's work on a study.

    Args:
        pairs: the configuration as typed.
        config: the same, checked.
        options: of the study.
        store: its storage.
        selects: bool ``[num_users]``, the users that choose.
    """

    def __init__(
        self,
        pairs: dict[str, str],
        config: Config,
        options: TuneOptions,
        store: StudyStore,
        selects: np.ndarray[Any, np.dtype[np.bool_]],
    ) -> None:
        self.pairs, self.config, self.options = pairs, config, options
        self.store, self.selects = store, selects

    def config_of(self, values: dict[str, Any]) -> Config:
        """The configuration of a trial.

        Raises:
            ConfigError: its values contradict one another.
        """
        return load_config(self.pairs, {**QUIET, **values})

    def outcome(self) -> Outcome:
        """The trials so far."""
        return Outcome(
            self.options,
            self.store.counted(),
            self.selects,
            self.config,
            self.config.evaluation.bootstrap,
        )

    def announce(self, users: int, events: int) -> None:
        """Say what is tuned, and on what."""
        options, done = self.options, len(self.store.counted())
        says = f"{done} of {options.trials} trials are there already" if done else ""
        split = "; half of the users choose, the others confirm" if not self.selects.all() else ""
        for line in (
            f"study '{options.study}': {len(options.space.parameters)} options of the space "
            f"{options.space.name}, {options.trials} trials, in {options.out}",
            f"{metric_label(options.metric)} of {events:,} validation events of {users:,} users{split}",
            says,
        ):
            if line and not terminal.quiet:
                console.print(line, soft_wrap=True, markup=False)

    def work(self, shop: Workshop, own: dict[str, Any]) -> None:
        """Carry out trials until there are enough, or the time is over.

        Args:
            shop: where they are carried out.
            own: the configuration's own values in the space.
        """
        end = time.monotonic() + self.options.timeout
        while time.monotonic() < end:
            with ExitStack() as stack:
                begun = self.store.begin(stack, own)
                if begun is None:
                    return
                name = f"trial {begun.trial.number}"
                with activity(name):
                    self._carry_out(begun, shop, name)
            trials = [t for t in self.store.counted() if t.state is not TrialState.RUNNING]
            failed = [t for t in trials if t.state is TrialState.FAIL]
            if len(trials) >= MOST_FAILED and len(failed) == len(trials):
                return
            self._free()
        if not terminal.quiet:
            console.print("timeout: no further trial begins here", markup=False)

    def _carry_out(self, begun: Begun, shop: Workshop, name: str) -> None:
        """Carry out one trial, and keep its value, its early end or its failure."""
        trial, start = begun.trial, time.perf_counter()
        folder = shop.folder / str(trial.number)
        reporter = StageReporter(
            lambda value, step: patiently(lambda: trial.report(value, step)),
            lambda: self._may_end(trial) and patiently(trial.should_prune),
        )
        cache = None
        try:
            config = self.config_of(begun.values)
            cache = StageCache(Path(config.cache.root), config.cache.enabled)
            place = Workshop(shop.dataset, shop.accelerator, folder, shop.threads)
            with watched(reporter):
                gains = run_trial(config, place, cache, self.options.metric)
            value = gains.mean(self.selects)
            if not np.isfinite(value):
                raise RunError("no user who chooses has an event that the ranker ranked")
        except PrunedError as pruned:
            self._note(begun, cache, reporter, start)
            patiently(partial(trial.set_user_attr, STAGE, pruned.stage))
            patiently(lambda: self.store.study.tell(trial, state=TrialState.PRUNED))
            self._say(f"{name}: ended early in {pruned.stage}", begun, start)
        except Exception as error:
            # Whatever one combination of options leads to, the others may be well.
            reason = error if isinstance(error, LkgragError) else explain(error)
            text = str(reason) if reason is not None else f"{type(error).__name__}: {error}"
            text = shorten(str(LkgragError(text)), LONGEST_REASON)
            log.warning("%s failed: %s", name, text)
            log.debug("%s failed", name, exc_info=error)
            self._note(begun, cache, reporter, start)
            self.store.fail(trial, text)
            self._say(f"{name}: failed", begun, start)
        else:
            gains.save(gains_file(self.options.out, trial.number))
            self._note(begun, cache, reporter, start)
            confirmed = gains.mean(~self.selects)
            if np.isfinite(confirmed):
                patiently(lambda: trial.set_user_attr(CONFIRMED, confirmed))
            patiently(lambda: self.store.study.tell(trial, value, skip_if_finished=True))
            self._say(f"{name}: {metric_label(self.options.metric)} {value:.4f}", begun, start)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if self.config.llm.name != NO_LLM:
                # The accelerator keeps what it has prepared.
                shop.accelerator.free_memory()

    def _may_end(self, trial: Trial) -> bool:
        """Whether a trial may be ended early: the defaults never are, because all are compared with them."""
        return DEFAULTS not in trial.user_attrs

    def _note(
        self, begun: Begun, cache: StageCache | None, reporter: StageReporter, start: float
    ) -> None:
        """Keep what is known of a trial beside its value."""
        notes: dict[str, Any] = {SECONDS: round(time.perf_counter() - start, 2)}
        if reporter.retriever is not None:
            notes[RETRIEVER] = reporter.retriever
        if cache is not None:
            notes[BUILT] = sorted(str(path.absolute()) for path in cache.built)
            notes[USED] = sorted(str(path.absolute()) for path in cache.used)
        for key, value in notes.items():
            patiently(partial(begun.trial.set_user_attr, key, value))

    def _free(self) -> None:
        """Empty cached stages of losing trials beyond the disk that they may take."""
        outcome = self.outcome()
        kept: set[Path] = set()
        for trial in outcome.trials:
            # What runs now may be built on any stage; the lock of a stage covers its reading only.
            if trial in (outcome.best, outcome.defaults):
                kept |= {Path(x) for x in trial.user_attrs.get(USED, [])}
        built = [Path(x) for t in outcome.trials for x in t.user_attrs.get(BUILT, [])]
        freed = free_losers(built, kept, self.options.disk)
        if freed:
            log.info("freed %.1f MB of cached stages of losing trials", freed / 1e6)

    def _say(self, what: str, begun: Begun, start: float) -> None:
        """Print a line for a trial that has ended."""
        outcome = self.outcome()
        took = format_duration(time.perf_counter() - start)
        done = sum(t.state is not TrialState.RUNNING for t in outcome.trials)
        best = outcome.best
        lead = "" if best is None else f"; best {best.value:.4f} (trial {best.number})"
        values = " ".join(f"{k}={short(show(v))}" for k, v in begun.values.items())
        line = f"{what} in {took}; {done} of {self.options.trials} done{lead}"
        log.info("%s: %s", line, values)
        if not terminal.quiet:
            console.print(line, soft_wrap=True, markup=False)
            console.print(f"   {values}", style="dim", soft_wrap=True, markup=False)

    def failure(self, outcome: Outcome) -> LkgragError:
        """The error of a study without any value."""
        failed = [t for t in outcome.trials if t.state is TrialState.FAIL]
        if not failed:
            return RunError(
                f"study '{self.options.study}': no trial has finished yet; start the command again, or raise timeout="
            )
        return RunError(
            f"study '{self.options.study}': no trial has a value, {len(failed)} of {len(outcome.trials)} failed; the "
            f"last one: {failed[-1].user_attrs[ERROR]}"
        )

    def conclude(self, outcome: Outcome) -> None:
        """Print what was found, and how to train it."""
        running = sum(t.state is TrialState.RUNNING for t in outcome.trials)
        if running:
            console.print(
                f"{running} {'trial runs' if running == 1 else 'trials run'} in other processes; the last of them "
                "writes the files again",
                soft_wrap=True,
            )
        for line in outcome.sentences():
            console.print(line, soft_wrap=True, markup=False)
        out = self.options.out
        if not terminal.quiet:
            console.print(f"look at  {out / PAGE}", soft_wrap=True, markup=False)
        console.print(
            f"train it python -m lkgrag.train config={out / BEST}",
            soft_wrap=True,
            markup=False,
        )
