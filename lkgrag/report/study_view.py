"""A study as its page shows it, in plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TrialView:
    """A trial as the page shows it.

    Attributes:
        number: of the trial.
        state: ``complete``, ``pruned``, ``fail`` or ``running``.
        value: the metric; None without one.
        seconds: that it took; None while it runs.
        note: why it has no value.
        values: by option.
    """

    number: int
    state: str
    value: float | None
    seconds: float | None
    note: str
    values: dict[str, Any]


@dataclass(frozen=True)
class StudyView:
    """A study as the page shows it.

    Attributes:
        name: of the study.
        metric: the label of the values.
        data: name of the data.
        sentences: what was found.
        command: that trains the best.
        best: number of the best trial.
        defaults: number of the trial of the defaults; None if it has no value.
        keys: the options that are tuned.
        logarithmic: those with a logarithmic range.
        importance: share of the variation by option.
        trials: in their order.
    """

    name: str
    metric: str
    data: str
    sentences: list[str]
    command: str
    best: int
    defaults: int | None
    keys: list[str]
    logarithmic: set[str] = field(default_factory=set)
    importance: dict[str, float] = field(default_factory=dict)
    trials: list[TrialView] = field(default_factory=list)
