"""The study in its storage: shared by processes, and whole after any of them was killed.

A process holds a lock while its trial runs, and the system releases it with the process. So a trial whose lock is free
was killed: it is marked as failed, and another process takes its values up again.
"""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lkgrag.errors import RunError
from lkgrag.tuning.pruning import KEPT, StagePruner
from lkgrag.utils.locks import locked

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

    from lkgrag.tuning.options import TuneOptions

T = TypeVar("T")
#: Seconds that SQLite waits for another process, and tries after that.
WAIT, TRIES = 60, 10
#: Names of what a study and its trials hold beside values.
SETTING, LOCK, HOST, SLOT, ERROR, DEFAULTS, RETRY = (
    "setting", "lock", "host", "slot", "error", "defaults", "retry_of",
)  # fmt: skip
#: Seconds after which a trial that says nothing of its process is taken for killed, in a storage of many machines.
SILENT = 60
#: Random trials before the first that follow from others.
STARTUP = 10
#: States of trials that are done.
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


def patiently(work: Callable[[], T]) -> T:
    """Do something in the storage, again where another process held it for long."""
    for attempt in range(TRIES):
        try:
            return work()
        except (OperationalError, optuna.exceptions.StorageInternalError):
            if attempt == TRIES - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError


@dataclass(frozen=True)
class Begun:
    """A trial that this process carries out.

    Attributes:
        trial: of the study.
        values: by option.
    """

    trial: Trial
    values: dict[str, Any]


class StudyStore:
    """A study that several processes work on.

    Args:
        options: of the study.

    Raises:
        RunError: the storage cannot be used.
    """

    def __init__(self, options: TuneOptions) -> None:
        self.options, self.host = options, socket.gethostname()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        database = options.database
        beside = database if database is not None else options.out / "study.db"
        self._claim = beside.with_name(f".{beside.name}.lock")
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"cannot write the folder {beside.parent}: {error.strerror}; choose another out= or storage="
            ) from error
        self.study = self._open()

    def _open(self) -> optuna.Study:
        options = self.options
        keywords: dict[str, Any] = {}
        if options.database is not None:
            keywords["connect_args"] = {"timeout": WAIT}
        try:
            # Two processes that make the tables at once would disturb one another.
            with self.claim():
                storage = optuna.storages.RDBStorage(options.storage, engine_kwargs=keywords)
                return optuna.create_study(
                    storage=storage,
                    study_name=options.study,
                    direction="maximize",
                    load_if_exists=True,
                    sampler=_new_sampler(options.sampler, options.seed, 0),
                    pruner=StagePruner(KEPT[options.pruner])
                    if options.pruner in KEPT
                    else optuna.pruners.NopPruner(),
                )
        except (
            SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError, ValueError, OSError,
        ) as error:  # fmt: skip
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunError(
                f"storage={options.shown_storage}: no study can be kept there ({first}); name a file that is a "
                "study or is not there yet, or a URL of SQLAlchemy with its driver installed"
            ) from error

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keep other processes from beginning a trial, or from looking for killed ones."""
        with locked(self._claim, wait=True):
            yield

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return patiently(lambda: self.study.get_trials(deepcopy=False))

    def counted(self) -> list[FrozenTrial]:
        """The trials that count: finished, failed with a reason, or running; killed ones were begun again."""
        return [t for t in self.trials() if _counts(t)]

    def agree(self, setting: dict[str, Any]) -> None:
        """Keep the study's setting, or compare it with that of the study.

        Args:
            setting: plain values; all that makes values of trials comparable.

        Raises:
            RunError: naming what differs.
        """
        with self.claim():
            kept = self.study.user_attrs.get(SETTING)
            if kept is None:
                patiently(lambda: self.study.set_user_attr(SETTING, setting))
                return
        difference = _find_difference(kept, setting)
        if difference:
            where, old, new = difference
            raise RunError(
                f"the study '{self.options.study}' has {where}={old}, not {new}: choose another study= or out="
            )

    def enqueue_first(self, params: dict[str, Any]) -> None:
        """Let the configuration's own values be the first trial.

        Args:
            params: of those options whose value lies in the space.
        """
        with self.claim():
            if not self.trials():
                patiently(
                    lambda: self.study.enqueue_trial(params, user_attrs={DEFAULTS: True, SLOT: 0})
                )

    def begin(self, stack: ExitStack, own: Collection[str]) -> Begun | None:
        """Begin a trial, unless enough have begun.

        Args:
            stack: keeps the trial's lock until it is closed.
            own: the options whose own value lies in the space; the first trial has these alone.

        Returns:
            The trial and its values; None if enough have begun.
        """
        options = self.options
        with self.claim():
            self._retire_killed()
            number = len(self.counted())
            if number >= options.trials:
                return None
            trial = patiently(self.study.ask)
            slot = trial.user_attrs.get(SLOT)
            if slot is None:
                slot = number
                patiently(lambda: trial.set_user_attr(SLOT, slot))
            lock = options.out.absolute() / "running" / f"{trial.number}.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(lock, wait=False))
            stack.callback(lock.unlink, missing_ok=True)
            patiently(lambda: trial.set_user_attr(LOCK, str(lock)))
            patiently(lambda: trial.set_user_attr(HOST, self.host))
            # Seeded by the trial: the same study again gives the same proposals, and no two processes agree.
            self.study.sampler = _new_sampler(options.sampler, options.seed, slot)
            values = {}
            for parameter in options.space.parameters:
                if DEFAULTS not in trial.user_attrs or parameter.key in own:
                    values[parameter.key] = patiently(partial(parameter.suggest, trial))
            return Begun(trial, values)

    def fail(self, trial: Trial, reason: str) -> None:
        """End a trial that could not be carried out."""
        patiently(lambda: trial.set_user_attr(ERROR, reason))
        patiently(lambda: self.study.tell(trial, state=TrialState.FAIL))

    def _retire_killed(self) -> None:
        """Mark trials of dead processes as failed, and enqueue their values."""
        dead = [
            trial.number
            for trial in self.trials()
            if trial.state is TrialState.RUNNING and self._is_dead(trial)
        ]
        # A process ends its trial before it frees the lock: one that has just ended is no longer running.
        for trial in self.trials() if dead else []:
            if trial.number not in dead or trial.state is not TrialState.RUNNING:
                continue
            patiently(partial(self.study.tell, trial.number, state=TrialState.FAIL))
            attrs = {k: v for k, v in trial.user_attrs.items() if k in (DEFAULTS, SLOT)}
            if ERROR not in trial.user_attrs and attrs:
                fixed = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                attrs[RETRY] = trial.number
                patiently(partial(self.study.enqueue_trial, fixed, user_attrs=attrs))

    def _is_dead(self, trial: FrozenTrial) -> bool:
        """Whether the process of a running trial has ended; of other machines nothing is known."""
        attrs = trial.user_attrs
        if LOCK not in attrs or HOST not in attrs:
            # Its process has not held the claim to the end: in a file that only this machine has, it is gone.
            begun = trial.datetime_start
            return self.options.database is not None or (
                begun is not None and time.time() - begun.timestamp() > SILENT
            )
        if attrs[HOST] != self.host:
            return False
        path = Path(attrs[LOCK])
        if not path.exists():
            return True
        try:
            with locked(path, wait=False):
                return True
        except RunError:
            return False


def _counts(trial: FrozenTrial) -> bool:
    if trial.state is TrialState.FAIL:
        return ERROR in trial.user_attrs
    return trial.state is not TrialState.WAITING


def _new_sampler(name: str, seed: int, slot: int) -> optuna.samplers.BaseSampler:
    mixed = int(np.random.default_rng([seed, slot, 0x7E5]).integers(2**32))
    if name == "random":
        return optuna.samplers.RandomSampler(seed=mixed)
    return optuna.samplers.TPESampler(
        seed=mixed, n_startup_trials=STARTUP, multivariate=False, constant_liar=True
    )


def _find_difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """The first place where plain values differ: its dotted key, and both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(k for k in old if k not in new)]:
            found = _find_difference(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
            if found:
                return found
        return None
    return None if old == new else (where, old, new)
