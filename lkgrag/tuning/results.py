"""The files of a study's folder: the best trial's options, the table of trials, the summary and the page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import TrialState

from lkgrag.config.documents import dump
from lkgrag.config.fields import config_fields, default_of, show, value_of
from lkgrag.config.identity import NOT_HASHED
from lkgrag.evaluation.metrics import metric_label
from lkgrag.report.study_page import write_study_page
from lkgrag.report.study_view import StudyView, TrialView
from lkgrag.tuning.outcome import CONFIRMED, RETRIEVER, SECONDS, STAGE
from lkgrag.tuning.store import ERROR
from lkgrag.utils.files import atomic, write_json, write_parquet

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from lkgrag.config import Config
    from lkgrag.tuning.outcome import Outcome

#: Files of a study's folder.
BEST, TABLE, SUMMARY, PAGE, TRIALS = (
    "best.yaml",
    "trials.csv",
    "study.json",
    "report.html",
    "trials",
)


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
