"""The pictures of the quality benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.quality.table import MAIN
from benchmarks.quality.words import SHOWN, TITLES, WORDS
from lkgrag.evaluation import HEADLINE, metric_label
from lkgrag.utils.files import atomic


def plot(data: str, result: dict[str, Any], path: Path) -> bool:
    """Draw the gains over each row with their intervals; False where nothing is compared."""
    from lkgrag.report.style import COLOURS, INK, PAPER, WIDTH, axes_of, style

    lines = [r for r in result["rows"] if r.get("minus")]
    if not lines:
        return False
    with style(f"quality-{data}"):
        # The names are long.
        figure_, axes = axes_of(0.7 + 0.24 * len(lines), WIDTH * 1.5)
        for place, line in enumerate(reversed(lines)):
            minus = line["minus"]
            axes.plot([minus["low"], minus["high"]], [place, place], color=COLOURS[0], lw=1.6)
            axes.plot([minus["mean"]], [place], "o", color=COLOURS[0], ms=4)
        axes.axvline(0.0, color=INK, lw=0.8)
        names = [WORDS.get(r["row"], r["row"]).replace("`", "") for r in reversed(lines)]
        axes.set_yticks(range(len(lines)), names)
        axes.set_xlabel(f"{metric_label(HEADLINE)} that {result['main']} gains")
        with atomic(path) as tmp:
            figure_.savefig(tmp, format="svg", metadata={"Date": None}, facecolor=PAPER)
    return True


def overview(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw README's picture: gains over the fused retriever with their intervals, a panel a data set."""
    from matplotlib.figure import Figure

    from lkgrag.report.style import COLOURS, INK, PAPER, WIDTH, style

    shown = {
        data: [(n, line["over"]) for n in SHOWN for line in result["rows"] if line["row"] == n]
        for data, result in results.items()
    }
    shown = {data: lines for data, lines in shown.items() if lines}
    if not shown:
        return
    counts = [len(lines) for lines in shown.values()]
    with style("quality"):
        picture = Figure(figsize=(WIDTH * 1.3, 0.5 + sum(0.21 * n + 0.42 for n in counts)))
        picture.set_layout_engine("constrained")
        panels = picture.subplots(len(shown), 1, sharex=True, height_ratios=counts, squeeze=False)
        for axes, (data, lines) in zip(panels[:, 0], shown.items(), strict=True):
            for place, (name, over) in enumerate(reversed(lines)):
                colour = COLOURS[1] if name == MAIN else COLOURS[0]
                scale = 100 / over["other"]
                low, mean, high = (scale * over[key] for key in ("low", "mean", "high"))
                axes.plot([low, high], [place, place], color=colour, lw=1.6)
                axes.plot([mean], [place], "o", color=colour, ms=4)
            axes.axvline(0.0, color=INK, lw=0.8)
            axes.set_yticks(range(len(lines)), [SHOWN[n] for n, _ in reversed(lines)])
            axes.set_ylim(-0.6, len(lines) - 0.4)
            axes.set_title(TITLES[data], loc="left", fontsize="medium")
        panels[-1, 0].set_xlabel(f"{metric_label(HEADLINE)} over the fused retriever, per cent")
        with atomic(path) as tmp:
            picture.savefig(tmp, format="svg", metadata={"Date": None}, facecolor=PAPER)
