"""The page of a study: its curve, what matters, and its trials, in the style of a run's report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lkgrag import __version__
from lkgrag.config.fields import show
from lkgrag.report.page import new_environment, svg
from lkgrag.report.study_figures import best_curve, importance_bars, parallel_lines
from lkgrag.report.style import style
from lkgrag.utils.files import atomic

#: Trials of the table: the best ones, and those without a value.
MOST_ROWS, MOST_FAILED = 20, 20


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


def write_study_page(path: Path, view: StudyView) -> None:
    """Write the page of a study, with its pictures in it.

    Args:
        path: of the page.
        view: what it shows.
    """
    ranked = sorted(view.keys, key=lambda key: -view.importance.get(key, 0.0))
    pictures = {}
    for name, caption, make in (
        ("best", "Each trial's value, and the best so far.",
         lambda: best_curve(view.trials, view.metric, view.defaults)),
        ("importance", "Share of the variation of the values that an option explains (fANOVA); few trials tell little.",
         lambda: importance_bars(view.importance)),
        ("parallel", "A line a trial through its values; the stronger, the better, and the best in orange.",
         lambda: parallel_lines(view.trials, ranked, view.logarithmic)),
    ):  # fmt: skip
        with style(name):
            figure = make()
        if figure is not None:
            pictures[name] = {"caption": caption, "svg": svg(figure, name)}
    done = sorted(
        (t for t in view.trials if t.value is not None), key=lambda t: (-(t.value or 0.0), t.number)
    )
    text = (
        new_environment()
        .get_template("study.html")
        .render(
            study=view,
            keys=ranked,
            done=done[:MOST_ROWS],
            ended=[t for t in view.trials if t.value is None][:MOST_FAILED],
            pictures=pictures,
            shown={t.number: {k: _short(v) for k, v in t.values.items()} for t in view.trials},
            version=__version__,
        )
    )
    with atomic(path) as tmp:
        tmp.write_text(text, encoding="utf-8")


def _short(value: Any) -> str:
    """A value as it is typed, a number with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else show(value)
