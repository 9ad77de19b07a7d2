"""The charts of a report, drawn by matplotlib, each a figure that can be saved in any format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from lkgrag.evaluation.metrics import HEADLINE, metric_label
from lkgrag.evaluation.protocol import systems_of
from lkgrag.report.heatmap import draw_salience, salience_of
from lkgrag.report.labels import label
from lkgrag.report.style import COLOURS, INK, WIDTH, axes_of, style
from lkgrag.utils.layout import SYSTEM_ORDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.report.run_data import RunData

#: Steps that a learning curve is smoothed over.
SMOOTH = 9
#: Greatest k of the recall chart, where ranks reach so far.
FAR = 100
#: Systems whose recall is drawn.
DRAWN = (
    "popularity",
    "itemitem",
    "graph_itemitem",
    "ease",
    "text",
    "lrurec",
    "retriever",
    "ranker",
)
#: Each has one colour in every picture of every run; the last of them have the most striking ones.
COLOUR = dict(zip(reversed(DRAWN), COLOURS, strict=True))

#: Groupings of the events of a cold start, and their labels.
COLD = {
    "history": "items chosen before",
    "popularity": "training interactions of the true item",
}
#: Lines of custom retrievers, all of the colour of ink.
CUSTOM_LINES = (":", "-.", (0, (4, 1, 1, 1, 1, 1)))


def figures(run: RunData) -> Iterator[tuple[str, str, Figure]]:
    """Draw every chart that the run has the data for: its name, caption and figure."""
    makers = {
        "recall": (
            "Share of the test users whose item is among the first k. "
            "Stage two only reorders the candidates.",
            recall,
        ),
        "ranker": (
            f"Loss of the ranker's training, a running mean over up to {SMOOTH} steps.",
            ranker_curve,
        ),
        "scorer": ("The scorer's training alone: loss on held-out users.", scorer_curve),
        "lrurec": ("LRURec's training: NDCG@10 on validation.", lrurec_curve),
        "salience": ("", salience),
        "cold": (
            "Test users by the number of items that they had chosen before, and test items by their "
            "interactions in training.",
            cold,
        ),
        "tokens": ("Tokens of the prompts, validation and test.", tokens),
    }
    for name, (caption, make) in makers.items():
        with style(name):
            figure = make(run)
        if figure is not None:
            yield name, caption or _salience_caption(run), figure


def ranker_curve(run: RunData) -> Figure | None:
    """Loss by step: fused, and of either term alone."""
    curve = run.curves.get("ranker") or []
    names = {"loss": "fused", "loss_lm": "language model alone", "loss_scorer": "scorer alone"}
    return _losses([row["step"] for row in curve], curve, names, "step", SMOOTH)


def scorer_curve(run: RunData) -> Figure | None:
    """Held-out loss by epoch."""
    curve = run.curves.get("scorer") or []
    names = {"held": "with the prior", "held_scorer": "scorer alone", "held_prior": "prior alone"}
    return _losses([row["epoch"] for row in curve], curve, names, "epoch", 1)


def _losses(
    x: list[float], curve: list[dict[str, float]], names: dict[str, str], what: str, window: int
) -> Figure | None:
    keys = [k for k in names if curve and all(row.get(k) is not None for row in curve)]
    if not keys:
        return None
    figure, axes = axes_of(2.9)
    marker = "o" if len(x) <= 40 and window == 1 else None
    for key in keys:
        values = _smooth(np.asarray([row[key] for row in curve], float), window)
        axes.plot(x, values, label=names[key], linewidth=1.6, marker=marker, markersize=3)
    axes.set(xlabel=what, ylabel="cross-entropy (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(keys), fontsize=8)
    return figure


def lrurec_curve(run: RunData) -> Figure | None:
    """NDCG@10 on validation by epoch."""
    curve = run.curves.get("lrurec") or []
    if not curve:
        return None
    figure, axes = axes_of(2.4)
    axes.plot(range(1, len(curve) + 1), curve, marker="o", linewidth=1.6, markersize=3)
    axes.set(xlabel="epoch", ylabel="NDCG@10")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """A running mean, float ``[N]``; its window shrinks at the ends."""
    kernel = np.ones(min(window, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def recall(run: RunData) -> Figure | None:
    """Recall on test, all users; beyond the candidates for those that rank all items."""
    test = run.ranks[run.ranks["split"] == "test"]
    systems = _drawn([s for s in systems_of(run.metrics) if f"rank_{s}" in test])
    if test.empty or not systems:
        return None
    depth = int(test["candidates"].max())
    ranks = {s: test[f"rank_{s}"].to_numpy() for s in systems}
    # A list that the language model did not read tells nothing of it.
    ranks = {s: rank[rank >= 0] for s, rank in ranks.items()}
    deepest = {s: max(int(rank.max()), depth) for s, rank in ranks.items()}
    far = min(FAR, max(deepest.values()))
    figure, axes = axes_of(3.1)
    for system, rank in ranks.items():
        # Stage one ranks all items; a system that reorders the candidates ends with them.
        ks = np.arange(1, (far if deepest[system] > depth else depth) + 1)
        share = [float(((rank > 0) & (rank <= k)).mean()) for k in ks]
        axes.plot(ks, share, label=system, linewidth=1.6, **_look(system, run))
    axes.axvline(depth, color=INK, linewidth=0.8, linestyle=":")
    axes.text(depth, 0.005, f" {depth} candidates", fontsize=8, va="bottom")
    axes.set(xlabel="k", ylabel="recall", xscale="log", xlim=(1, max(far, 2)), ylim=(0, None))
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.legend(fontsize=8, loc="upper left")
    return figure


def custom_systems(run: RunData) -> list[str]:
    """The custom retrievers that a run has figures of."""
    return [s for s in systems_of(run.metrics) if s not in SYSTEM_ORDER]


def _drawn(systems: list[str]) -> list[str]:
    """The systems that are drawn, custom retrievers below all others."""
    return [*(s for s in systems if s not in SYSTEM_ORDER), *(s for s in DRAWN if s in systems)]


def _look(system: str, run: RunData) -> dict[str, Any]:
    """Line and colour of a system, the same in every picture."""
    if system in COLOUR:
        line = "-" if system in ("retriever", "ranker") else "--"
        return {"linestyle": line, "color": COLOUR[system]}
    return {
        "linestyle": CUSTOM_LINES[custom_systems(run).index(system) % len(CUSTOM_LINES)],
        "color": INK,
    }


def salience(run: RunData) -> Figure | None:
    """Heat map of attention by group of users and meta-path."""
    table = salience_of(run)
    return None if table is None else draw_salience(table)


def _salience_caption(run: RunData) -> str:
    table = salience_of(run)
    key = "; ".join(f"{n}: {label(w, 60)}" for n, w in (table.words if table else {}).items())
    text = (
        "Share of the path scorer's attention by group of users (in brackets: test prompts) and "
        "kind of path, in percent."
    )
    return f"{text} In words, {key}." if key else text


def cold(run: RunData) -> Figure | None:
    """The headline metric by length of the history and by popularity of the true item."""
    groups_of = run.metrics.get("cold_start") or {}
    panels = {what: groups_of.get(kind) or [] for kind, what in COLD.items()}
    if not all(panels.values()):
        return None
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
    for number, (what, groups) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(2, 1, number)
        for system in _drawn(list(groups[0]["systems"])):
            values = [g["systems"][system][HEADLINE] for g in groups]
            look = _look(system, run) | {"marker": "o", "markersize": 3}
            axes.plot(range(len(groups)), values, label=system, **look)
        names = [f"{g['group']}\n({g['events']:,})" for g in groups]
        axes.set_xticks(range(len(groups)), names, fontsize=7)
        axes.set(xlabel=what, ylabel=metric_label(HEADLINE), ylim=(0, None))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8)
    return figure


def tokens(run: RunData) -> Figure | None:
    """Histogram of tokens a prompt, both splits."""
    if run.prompts is None or not (run.prompts["tokens"] > 0).any():
        return None
    values = run.prompts["tokens"].to_numpy()
    figure, axes = axes_of(2.4)
    axes.hist(values, bins=min(40, max(5, len(np.unique(values)))), color=COLOURS[0])
    axes.axvline(values.mean(), color=COLOURS[1], linewidth=1.4)
    note = f"mean {values.mean():.0f} "
    axes.text(
        values.mean(), 1.0, note, va="bottom", ha="center", transform=axes.get_xaxis_transform()
    )
    axes.set(xlabel="tokens", ylabel="prompts")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
