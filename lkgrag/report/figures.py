"""The pictures of a report, drawn by matplotlib, each a figure that can be saved in any format."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lkgrag.report.gather import RunData, groups
from lkgrag.rundir import systems_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Ink that the page replaces by its own, light or dark.
INK = "#0b0c0d"
#: Colours that are told apart on white and on black, and by most eyes (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a8a00", "#56b4e9", "#7f7f7f")
#: Rows of the heat map.
MOST_METAPATHS = 14
#: Steps that a learning curve is smoothed over.
SMOOTH = 9
#: Systems whose recall is drawn.
DRAWN = ("popularity", "itemitem", "graph_itemitem", "lrurec", "retriever", "ranker")


@contextmanager
def style(name: str) -> Iterator[None]:
    """Settings of every picture; text stays text in SVG."""
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=COLOURS),
        "legend.frameon": False,
        "text.parse_math": False,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # A title in a script that the font lacks is drawn as boxes in the PNG; the SVG has the text.
        warnings.filterwarnings("ignore", message=".*Glyph.*")
        yield


def figures(run: RunData) -> Iterator[tuple[str, str, Figure]]:
    """Every picture that a run has the data for: name, caption, figure."""
    makers = {
        "learning": ("Learning curves (a running mean over nine steps).", learning),
        "recall": ("Share of test events whose item is among the first k.", recall),
        "salience": (
            "Share of the path scorer's attention by kind of path and group of users, in percent.",
            salience,
        ),
        "tokens": ("Tokens a prompt.", tokens),
    }
    for name, (caption, make) in makers.items():
        with style(name):
            figure = make(run)
        if figure is not None:
            yield name, caption, figure


def _axes(width: float = 6.4, height: float = 3.4) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def learning(run: RunData) -> Figure | None:
    """Loss of the ranker by step, and the retriever's validation by epoch."""
    curve = run.curves.get("ranker") or []
    keys = [k for k in ("loss", "loss_lm", "loss_scorer") if curve and k in curve[0]]
    if not keys:
        return None
    figure, axes = _axes()
    step = [row["step"] for row in curve]
    names = {"loss": "fused", "loss_lm": "language model alone", "loss_scorer": "scorer alone"}
    for key in keys:
        values = np.asarray([row[key] for row in curve], float)
        axes.plot(step, _smooth(values), label=names[key], linewidth=1.6)
    axes.set(xlabel="step", ylabel="cross-entropy (nats)")
    axes.legend()
    return figure


def _smooth(values: np.ndarray) -> np.ndarray:
    """Running mean whose window shrinks at the ends."""
    kernel = np.ones(min(SMOOTH, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def recall(run: RunData) -> Figure | None:
    """Recall at 1 to the depth of the lists, on test, all users."""
    test = run.ranks[run.ranks["split"] == "test"]
    systems = [s for s in DRAWN if f"rank_{s}" in test and s in systems_of(run.metrics)]
    if test.empty or not systems:
        return None
    depth = int(test["candidates"].max())
    figure, axes = _axes()
    ks = np.arange(1, depth + 1)
    for system in systems:
        rank = test[f"rank_{system}"].to_numpy()
        share = [float(((rank > 0) & (rank <= k)).mean()) for k in ks]
        style = "-" if system in ("retriever", "ranker") else "--"
        axes.plot(ks, share, style, label=system, linewidth=1.6)
    axes.set(xlabel="k", ylabel="recall", xlim=(1, depth), ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9)
    return figure


def salience_table(run: RunData) -> tuple[list[str], list[str], np.ndarray] | None:
    """Meta-paths, groups, and mean shares ``[metapaths, groups]`` on test."""
    if run.salience is None or run.prompts is None:
        return None
    prompts = run.prompts[run.prompts["split"] == "test"].reset_index(drop=True)
    shares = run.salience[run.salience["split"] == "test"]
    if prompts.empty or shares.empty:
        return None
    wide = shares.pivot_table("share", "prompt", "metapath", "sum", 0.0)
    wide = wide.reindex(range(len(prompts)), fill_value=0.0)
    kinds = wide.mean().sort_values(ascending=False).index[:MOST_METAPATHS]
    which = groups(prompts)
    values = np.stack([wide.loc[which[g].to_numpy(), kinds].mean().to_numpy() for g in which])
    return list(kinds), list(which.columns), values.T


def salience(run: RunData) -> Figure | None:
    """Heat map of attention by meta-path and group of users."""
    table = salience_table(run)
    if table is None:
        return None
    kinds, names, values = table
    figure, axes = _axes(max(4.6, 1.9 + 0.55 * len(names)), 1.3 + 0.3 * len(kinds))
    axes.imshow(values, aspect="auto", cmap="Blues", vmin=0, vmax=max(values.max(), 1e-9))
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    half = values.max() / 2
    for (row, column), value in np.ndenumerate(values):
        # The cells keep their colours on a dark page, so their figures do too.
        colour = "#ffffff" if value > half else "#111111"
        text = f"{100 * value:.0f}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return figure


def tokens(run: RunData) -> Figure | None:
    """Histogram of tokens a prompt, both splits."""
    if run.prompts is None or not (run.prompts["tokens"] > 0).any():
        return None
    values = run.prompts["tokens"].to_numpy()
    figure, axes = _axes(height=2.8)
    axes.hist(values, bins=min(40, max(5, len(np.unique(values)))), color=COLOURS[0])
    axes.axvline(values.mean(), color=COLOURS[1], linewidth=1.4)
    axes.text(values.mean(), axes.get_ylim()[1], f" mean {values.mean():.0f}", va="top")
    axes.set(xlabel="tokens", ylabel="prompts")
    return figure
