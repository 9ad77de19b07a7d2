"""The page of a study: its curve, what matters, and its trials, in the style of a run's report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lkgrag import __version__
from lkgrag.config.fields import show
from lkgrag.report.page import new_environment, svg
from lkgrag.report.study_figures import best_curve, importance_bars, parallel_lines
from lkgrag.report.study_view import StudyView
from lkgrag.report.style import style
from lkgrag.utils.files import atomic

#: Trials of the table: the best ones, and those without a value.
MOST_ROWS, MOST_FAILED = 20, 20


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
