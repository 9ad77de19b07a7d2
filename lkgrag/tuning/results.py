"""What a study found: the best trial, its gain over the defaults, and the files of the study's folder."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from lkgrag.config.fields import config_fields, default_of, show, value_of
from lkgrag.config.identity import NOT_HASHED
from lkgrag.config.values import dump
from lkgrag.errors import LkgragError, RunError
from lkgrag.evaluation.metrics import metric_label
from lkgrag.evaluation.significance import Difference, paired_bootstrap
from lkgrag.report.study_page import StudyView, TrialView, write_study_page
from lkgrag.tuning.store import DEFAULTS, ERROR
from lkgrag.tuning.trial import Gains
from lkgrag.utils.files import atomic, read_json, write_json, write_parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import FrozenTrial

    from lkgrag.config import Config
    from lkgrag.data.interactions import Interactions
    from lkgrag.tuning.options import TuneOptions

#: Files of a study's folder.
BEST, TABLE, SUMMARY, PAGE, TRIALS = (
    "best.yaml",
    "trials.csv",
    "study.json",
    "report.html",
    "trials",
)
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


def write_best(outcome: Outcome, config: Config) -> Path:
    """Write the best trial's options as a file that ``config=`` takes: all that differ from the defaults.

    Args:
        outcome: with a best trial.
        config: of the best trial.
    """
    best = outcome.best
    assert best is not None
    values: dict[str, Any] = {}
    for key, f in config_fields():
        section, _, name = key.rpartition(".")
        where = section or name
        value = value_of(config, key)
        if where in NOT_HASHED or key in ("preset", "training.tracker") or value == default_of(f):
            continue
        (values.setdefault(section, {}) if section else values)[name] = value
    found = "\n".join(f"# {line}" for line in outcome.sentences())
    path = outcome.options.out / BEST
    with atomic(path) as tmp:
        head = f"# The best trial of the study {outcome.options.study!a}.\n{found}\n"
        head += f"#   python -m lkgrag.train config={path}\n"
        tmp.write_text(head + dump(values), encoding="utf-8")
    return path


def table_of(outcome: Outcome) -> pd.DataFrame:
    """A row a trial: number, state, values, seconds, error, and an option a column."""
    rows = []
    for trial in outcome.trials:
        attrs = trial.user_attrs
        rows.append(
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "value": trial.value if trial.state is TrialState.COMPLETE else math.nan,
                "confirmed": attrs.get(CONFIRMED, math.nan),
                "retriever": attrs.get(RETRIEVER, math.nan),
                "seconds": attrs.get(SECONDS, math.nan),
                "ended_in": attrs.get(STAGE, ""),
                "error": attrs.get(ERROR, ""),
                **{
                    p.key: show(trial.params[p.key]) if p.key in trial.params else ""
                    for p in outcome.options.space.parameters
                },
            }
        )
    return pd.DataFrame(rows)


def importances(study: optuna.Study, outcome: Outcome) -> dict[str, float]:
    """How much of the variation of the values each option explains; empty where too few trials tell.

    Args:
        study: of all trials.
        outcome: of the study.
    """
    if len(outcome.complete) < 4 or len({t.value for t in outcome.complete}) < 2:
        return {}
    # The trial of the defaults may lack an option, which would leave that option out for all.
    copy = optuna.create_study(direction="maximize")
    keys = {p.key for p in outcome.options.space.parameters}
    copy.add_trials([t for t in outcome.complete if keys <= t.params.keys()])
    try:
        found = optuna.importance.get_param_importances(
            copy, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
    except (ValueError, RuntimeError, ZeroDivisionError):
        return {}
    return {key: float(x) for key, x in found.items() if math.isfinite(x)}


def write_results(
    study: optuna.Study, outcome: Outcome, config: Config, provenance: dict[str, Any]
) -> None:
    """Write ``best.yaml``, ``trials.csv``, ``trials.parquet``, ``study.json`` and the page.

    Args:
        study: of all trials.
        outcome: with a best trial.
        config: of the best trial.
        provenance: command, versions, hardware, commit and date.
    """
    options, best = outcome.options, outcome.best
    assert best is not None
    write_best(outcome, config)
    table, weights = table_of(outcome), importances(study, outcome)
    with atomic(options.out / TABLE) as tmp:
        table.to_csv(tmp, index=False)
    write_parquet(options.out / "trials.parquet", table)
    states = [t.state.name.lower() for t in outcome.trials]
    gains = {"selected": outcome.selected_gain, "confirmed": outcome.confirmed_gain}
    write_json(
        options.out / SUMMARY,
        {
            "study": options.study,
            "storage": options.shown_storage,
            **provenance,
            "seed": options.seed,
            "metric": options.metric,
            "space": {"name": options.space.name, "options": options.space.to_dict()},
            "trials": {state: states.count(state) for state in dict.fromkeys(states)},
            "seconds": float(np.nansum(table["seconds"])),
            "best": _summary(outcome, best),
            "defaults": None if outcome.defaults is None else _summary(outcome, outcome.defaults),
            "gain": {k: None if d is None else d.to_dict() for k, d in gains.items()},
            "importance": weights,
        },
    )
    write_study_page(options.out / PAGE, _view(outcome, table, weights))


def _summary(outcome: Outcome, trial: FrozenTrial) -> dict[str, Any]:
    attrs = trial.user_attrs
    return {
        "number": trial.number,
        "value": trial.value,
        "confirmed": attrs.get(CONFIRMED),
        "seconds": attrs.get(SECONDS),
        "options": outcome.values_of(trial),
    }


def _view(outcome: Outcome, table: pd.DataFrame, weights: dict[str, float]) -> StudyView:
    """What the page shows."""
    keys = [p.key for p in outcome.options.space.parameters]
    logarithmic = {p.key for p in outcome.options.space.parameters if p.log}
    assert outcome.best is not None
    return StudyView(
        name=outcome.options.study,
        metric=metric_label(outcome.options.metric),
        data=outcome.config.data.name,
        sentences=outcome.sentences(),
        command=f"python -m lkgrag.train config={outcome.options.out / BEST}",
        best=outcome.best.number,
        defaults=None if outcome.defaults is None else outcome.defaults.number,
        keys=keys,
        logarithmic=logarithmic,
        importance=weights,
        trials=[
            TrialView(
                number=int(row["number"]),
                state=str(row["state"]),
                value=None if math.isnan(row["value"]) else float(row["value"]),
                seconds=None if math.isnan(row["seconds"]) else float(row["seconds"]),
                note=str(
                    row["error"] or (f"ended in {row['ended_in']}" if row["ended_in"] else "")
                ),
                values={key: t.params[key] for key in keys if key in t.params},
            )
            for row, t in zip(table.to_dict("records"), outcome.trials, strict=True)
        ],
    )


def refuse_other_study(out: Path, study: str) -> None:
    """Refuse a folder that holds another study.

    Raises:
        RunError: naming that study.
    """
    path = out / SUMMARY
    if path.is_file():
        other = read_json(path).get("study")
        if other != study:
            raise RunError(f"{out} holds the study '{other}', not '{study}': choose another out=")
