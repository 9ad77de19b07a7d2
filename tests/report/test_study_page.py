"""The page of a study: what it draws, and odd studies."""

import pytest

from lkgrag.report.study_figures import best_curve, importance_bars, parallel_lines
from lkgrag.report.study_page import write_study_page
from lkgrag.report.study_view import StudyView, TrialView


def trial(number, value, **values):
    state = "complete" if value is not None else "fail"
    return TrialView(number, state, value, 1.0, "" if value is not None else "<b>no</b>", values)


def view(trials, **changes):
    fields = {
        "name": "<study>", "metric": "NDCG@10", "data": "shop", "sentences": ["best: trial 1"],
        "command": "python -m lkgrag.train", "best": 1, "defaults": 0, "keys": ["a.x", "b.y"],
    }  # fmt: skip
    return StudyView(**{**fields, "trials": trials, **changes})


TRIALS = [
    trial(0, 0.1, **{"a.x": 0.001, "b.y": "[]"}),
    trial(1, 0.3, **{"a.x": 0.1, "b.y": "[a]"}),
    trial(2, None, **{"a.x": 0.01}),
    trial(3, 0.3, **{"a.x": 0.01, "b.y": "[]"}),
]


def test_the_page_shows_trials_reasons_and_pictures(tmp_path):
    path = tmp_path / "page.html"
    write_study_page(path, view(TRIALS, importance={"a.x": 0.7, "b.y": 0.3}, logarithmic={"a.x"}))
    text = path.read_text()
    assert text.count("<svg") == 3
    assert "&lt;study&gt;" in text
    assert "<b>no</b>" not in text
    assert "&lt;b&gt;no" in text
    assert "0 (defaults)" in text
    assert 'class="best">.3000' in text


@pytest.mark.parametrize(
    "trials",
    [
        TRIALS[:1],
        [trial(0, 0.0)],
        [trial(0, 0.5, **{"a.x": None, "b.y": True}), trial(1, 0.5, **{"a.x": 3, "b.y": False})],
        [trial(n, 0.1 * n, **{"a.x": -1.0, "b.y": 10**9}) for n in range(60)],
    ],
)
def test_odd_studies_have_a_page(tmp_path, trials):
    write_study_page(tmp_path / "page.html", view(trials, best=0, logarithmic={"a.x", "b.y"}))
    assert (tmp_path / "page.html").read_text().count("<h2>") >= 2


def test_the_curve_never_falls_and_leaves_trials_without_a_value_out():
    (axes,) = best_curve(TRIALS, "NDCG@10", 0).axes
    dots, best, defaults, none = axes.lines
    assert list(best.get_ydata()) == [0.1, 0.3, 0.3]
    assert list(dots.get_xdata()) == [0, 1, 3]
    assert set(defaults.get_ydata()) == {0.1}
    assert list(none.get_xdata()) == [2]
    assert best_curve(TRIALS[2:3], "x", None) is None


def test_the_best_of_equal_trials_is_the_first():
    (axes,) = parallel_lines(TRIALS, ["a.x", "b.y"], {"a.x"}).axes
    heights = {round(line.get_linewidth(), 1): line.get_ydata() for line in axes.lines[:3]}
    assert list(heights[2.0]) == [1.0, 1.0]


def test_what_cannot_be_drawn_is_left_out():
    assert importance_bars({}) is None
    assert parallel_lines(TRIALS[:1], ["a.x", "b.y"], ()) is None
    assert parallel_lines(TRIALS, ["a.x"], ()) is None
