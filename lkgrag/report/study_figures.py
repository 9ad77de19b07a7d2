"""The pictures of a study: its best value by trial, what matters, and the values that go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lkgrag.report.labels import label
from lkgrag.report.style import COLOURS, INK, WIDTH, axes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lkgrag.report.study_view import TrialView

#: Options of the picture of importance, and of the parallel view.
MOST_BARS, MOST_AXES = 12, 8
#: Columns of an option's name, and of a value.
NAME, VALUE = 34, 12


def best_curve(trials: Sequence[TrialView], metric: str, defaults: int | None) -> Figure | None:
    """The value of each trial, and the best one so far; None without a value.

    Args:
        trials: in their order.
        metric: the label of the values.
        defaults: the number of the trial of the defaults.
    """
    done = [t for t in trials if t.value is not None]
    if not done:
        return None
    number = [t.number for t in done]
    value = np.asarray([t.value for t in done], float)
    figure, axes = axes_of(2.8)
    axes.plot(number, value, "o", color=COLOURS[0], markersize=4, alpha=0.7, label="trial")
    axes.step(
        number, np.maximum.accumulate(value), where="post", color=COLOURS[1], label="best so far"
    )
    first = [x for x, n in zip(value.tolist(), number, strict=True) if n == defaults]
    if first:
        axes.axhline(first[0], color=INK, linewidth=1, linestyle=":", label="defaults")
    ended = [t.number for t in trials if t.value is None]
    if ended:
        low = float(value.min())
        axes.plot(ended, [low] * len(ended), "x", color=COLOURS[7], markersize=4, label="no value")
    axes.set(xlabel="trial", ylabel=f"{metric}, validation")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8)
    return figure


def importance_bars(importance: dict[str, float]) -> Figure | None:
    """The share of the values' variation that each option explains; None without any."""
    rows = sorted(importance.items(), key=lambda row: row[1])[-MOST_BARS:]
    if not rows:
        return None
    figure, axes = axes_of(0.7 + 0.26 * len(rows))
    axes.barh([label(key, NAME) for key, _ in rows], [x for _, x in rows], color=COLOURS[0])
    axes.set(xlabel="share of the variation")
    axes.tick_params(axis="y", labelsize=8)
    return figure


def parallel_lines(
    trials: Sequence[TrialView], keys: Sequence[str], logarithmic: Collection[str]
) -> Figure | None:
    """A line a trial through its values, the better the stronger; None for fewer than two trials or options.

    Args:
        trials: in any order.
        keys: options, one an axis.
        logarithmic: those whose axis is logarithmic.
    """
    keys = list(keys)[:MOST_AXES]
    done = [t for t in trials if t.value is not None and all(k in t.values for k in keys)]
    if len(done) < 2 or len(keys) < 2:
        return None
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.add_subplot()
    columns = {key: _heights([t.values[key] for t in done], key in logarithmic) for key in keys}
    # Of equal values the first is the best.
    order = np.lexsort(np.asarray([[-t.number for t in done], [t.value for t in done]], float))
    for rank, place in enumerate(order):
        share = rank / max(1, len(order) - 1)
        is_best = rank == len(order) - 1
        axes.plot(
            range(len(keys)),
            [columns[key][0][place] for key in keys],
            color=COLOURS[1] if is_best else COLOURS[0],
            alpha=1.0 if is_best else 0.08 + 0.5 * share**2,
            linewidth=2.0 if is_best else 1.0,
        )
    for x, key in enumerate(keys):
        axes.axvline(x, color=INK, linewidth=0.6)
        for height, text in columns[key][1]:
            axes.text(x + 0.04, height, label(text, VALUE), fontsize=7, va="center")
    axes.set_xticks(range(len(keys)), [label(k.partition(".")[2] or k, 18) for k in keys])
    axes.tick_params(axis="x", labelrotation=30, labelsize=8, length=0)
    axes.set(yticks=[], xlim=(-0.1, len(keys) - 0.4))
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _heights(values: list[Any], is_log: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Where values stand on an axis from 0 to 1, and the marks of the axis."""
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not is_number:
        words = sorted({str(v) for v in values})
        place = {word: n / max(1, len(words) - 1) for n, word in enumerate(words)}
        return [place[str(v)] for v in values], [(y, word) for word, y in place.items()]
    numbers = np.asarray(values, float)
    scale = np.log(numbers) if is_log and numbers.min() > 0 else numbers
    low, high = float(scale.min()), float(scale.max())
    heights = (scale - low) / (high - low) if high > low else np.full(len(scale), 0.5)
    ends = [
        (float(heights.min()), f"{numbers.min():.3g}"),
        (float(heights.max()), f"{numbers.max():.3g}"),
    ]
    return heights.tolist(), ends if high > low else ends[:1]
