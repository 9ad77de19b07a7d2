"""The outcome of a study: which trial is the best, and what it gains over the defaults on whom."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import TrialState

from lkgrag.errors import LkgragError, RunError
from lkgrag.evaluation.metrics import metric_label
from lkgrag.evaluation.significance import Difference, paired_bootstrap
from lkgrag.tuning.store import DEFAULTS
from lkgrag.tuning.trial import Gains

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import FrozenTrial

    from lkgrag.config import Config
    from lkgrag.data.interactions import Interactions
    from lkgrag.tuning.options import TuneOptions

#: Folder of the trials' gains.
TRIALS = "trials"
#: Users of validation from which half of them only confirm.
ENOUGH_USERS = 1000
#: Names of what a trial holds beside its value.
CONFIRMED, SECONDS, BUILT, USED, STAGE, RETRIEVER = (
    "confirmed", "seconds", "built", "used", "stage", "retriever",
)  # fmt: skip


def gains_file(out: Path, number: int) -> Path:
    """The file of a trial's gains."""
    return out / TRIALS / f"{number:05}.parquet"


def selecting_users(
    interactions: Interactions, validated: NDArray[np.int64], confirm: str
) -> NDArray[np.bool_]:
    """The users that decide which trial is the best, bool ``[num_users]``; the others confirm its gain.

    A user's side follows from a hash of the id, so that it is the same in every process and for any order.

    Args:
        interactions: the data.
        validated: int64, users of the validation events.
        confirm: ``true`` or ``false``; ``auto`` is true for :data:`ENOUGH_USERS` users.

    Raises:
        RunError: ``confirm`` is true, but a half would be empty.
    """
    users = np.unique(validated)
    everyone = np.ones(interactions.num_users, bool)
    if confirm == "false" or (confirm == "auto" and len(users) < ENOUGH_USERS):
        return everyone
    digests = (hashlib.sha256(str(x).encode()).digest() for x in interactions.user_ids)
    selects = np.fromiter((d[0] % 2 == 0 for d in digests), bool, interactions.num_users)
    if not 0 < selects[users].sum() < len(users):
        raise RunError(
            f"confirm=true needs users on both sides, but {len(users)} validate: set confirm=false"
        )
    return selects


@dataclass(frozen=True)
class Outcome:
    """The trials of a study so far.

    Attributes:
        options: of the study.
        trials: all that count, by number.
        selects: bool ``[num_users]``, the users that chose.
        config: before tuning.
        resamples: of the bootstrap.
    """

    options: TuneOptions
    trials: list[FrozenTrial]
    selects: NDArray[np.bool_]
    config: Config
    resamples: int

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        """The trials with a value."""
        return [t for t in self.trials if t.state is TrialState.COMPLETE]

    @cached_property
    def best(self) -> FrozenTrial | None:
        """The trial with the highest value, the first of equal ones."""
        return max(self.complete, key=lambda t: (t.value or 0.0, -t.number), default=None)

    @cached_property
    def defaults(self) -> FrozenTrial | None:
        """The trial of the configuration as it was."""
        return next((t for t in self.complete if DEFAULTS in t.user_attrs), None)

    @cached_property
    def has_confirmation(self) -> bool:
        """Whether some users did not choose."""
        return not bool(self.selects.all())

    def gain(self, is_chosen: NDArray[np.bool_]) -> Difference | None:
        """The gain of the best over the defaults on some users; None where it is not known.

        Args:
            is_chosen: bool ``[num_users]``.
        """
        if self.best is None or self.defaults is None:
            return None
        try:
            best, defaults = (
                Gains.load(gains_file(self.options.out, t.number))
                for t in (self.best, self.defaults)
            )
        except LkgragError:
            return None
        difference, user = best.minus(defaults, is_chosen)
        if not len(user):
            return None
        return paired_bootstrap(difference, user, self.resamples, self.config.seed)

    @cached_property
    def selected_gain(self) -> Difference | None:
        """The gain on the users that chose: too high on average, as the best of many."""
        return self.gain(self.selects)

    @cached_property
    def confirmed_gain(self) -> Difference | None:
        """The gain on the users that did not choose; None without any."""
        return self.gain(~self.selects) if self.has_confirmation else None

    def values_of(self, trial: FrozenTrial) -> dict[str, Any]:
        """A trial's values by option."""
        out = {}
        for p in self.options.space.parameters:
            if p.key in trial.params:
                value = trial.params[p.key]
                if p.choices:
                    place = [(type(x), x) for x in p.labels].index((type(value), value))
                    value = p.choices[place]
                out[p.key] = value
        return out

    def sentences(self) -> list[str]:
        """What was found, in plain words."""
        best, name = self.best, metric_label(self.options.metric)
        if best is None:
            return []
        lines = [f"best: trial {best.number}, validation {name} {best.value:.4f}"]
        failed = sum(t.state is TrialState.FAIL for t in self.trials)
        if failed:
            lines.append(f"{failed} of {len(self.trials)} trials failed; trials.csv says why")
        if self.defaults is None:
            lines.append("the defaults have no value, so a gain over them is not known")
        elif best.number == self.defaults.number:
            lines.append("no trial beats the defaults")
        else:
            number = len(self.trials)
            if self.selected_gain is not None:
                lines.append(
                    f"gain over the defaults, {self.selected_gain.users:,} users who chose it: {self.selected_gain}; "
                    f"too high on average, as the best of {number}"
                )
            if self.confirmed_gain is not None:
                lines.append(
                    f"gain over the defaults, {self.confirmed_gain.users:,} users who did not choose: "
                    f"{self.confirmed_gain}"
                )
            elif not self.has_confirmation:
                lines.append(
                    "nobody was left to confirm it: read the test of both, or set confirm=true"
                )
        return lines
