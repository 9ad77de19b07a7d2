"""The graph between a user's history and the top candidates, drawn."""

from __future__ import annotations

import math
from typing import TypeVar

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from lkgrag.recommendation import PathExplanation, RankedItem, Recommendation, one_line
from lkgrag.report.figures import COLOURS, INK, style

#: Candidates that are drawn.
MOST_CANDIDATES = 5
#: Characters of a node's name.
WIDTH = 26
#: Thinnest and thickest line, in points.
THIN, THICK = 0.7, 5.0
#: How far a path bends away from another with the same ends, in heights of the picture.
BEND = 0.12

Node = tuple[str, str]
T = TypeVar("T")


def label(text: str, width: int = WIDTH) -> str:
    """A name short enough for a picture, without characters that no picture can show."""
    words = one_line(text)
    return words if len(words) <= width else words[: width - 1] + "…"


def draw(found: Recommendation, name: str) -> Figure | None:
    """History left, shared entities in the middle, candidates right; salience is the line's width.

    Args:
        found: explained.
        name: of the picture, which its ids derive from.

    Returns:
        None where no candidate has a path.
    """
    shown = [(i, p) for i in found.items[:MOST_CANDIDATES] for p in i.paths]
    if not shown:
        return None
    with style(name):
        return _draw(found.items[:MOST_CANDIDATES], shown)


def _draw(items: list[RankedItem], shown: list[tuple[RankedItem, PathExplanation]]) -> Figure:
    history = _unique([_node(p, 0) for _, p in shown])
    middle = _unique([_node(p, n) for _, p in shown for n in range(1, len(p.nodes) - 1)])
    height = 0.42 * max(len(history), len(items), len(middle)) + 0.9
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.08, 1.06))
    place: dict[tuple[str, Node], tuple[float, float]] = {}
    for side, x, nodes in (
        ("left", 0.30, history),
        ("middle", 0.52, middle),
        ("right", 0.70, [("item", item.item) for item in items]),
    ):
        lower = 0.5 / max(len(history), len(items)) if side == "middle" else 0.0
        for node, y in zip(nodes, _spread(len(nodes), lower), strict=True):
            place[side, node] = (x, y)
    relations = _unique([_relation(p) for _, p in shown])
    colour = {r: COLOURS[n % len(COLOURS)] for n, r in enumerate(relations)}
    top = max(p.salience for _, p in shown)
    twins: dict[tuple[tuple[float, float], tuple[float, float]], int] = {}
    for item, path in shown:
        stops = [place["left", _node(path, 0)]]
        stops += [place["middle", _node(path, n)] for n in range(1, len(path.nodes) - 1)]
        stops.append(place["right", ("item", item.item)])
        ends = (stops[0], stops[-1])
        twins[ends] = twins.get(ends, -1) + 1
        # Paths with the same ends bend away from one another.
        bend = BEND * ((twins[ends] + 1) // 2) * (-1) ** twins[ends] if len(stops) == 2 else 0.0
        axes.add_patch(
            PathPatch(
                _curve(stops, bend),
                facecolor="none",
                edgecolor=colour[_relation(path)],
                linewidth=THIN + (THICK - THIN) * math.exp(min(path.salience - top, 0.0)),
                alpha=0.75,
                capstyle="round",
                joinstyle="round",
            )
        )
    titles = {("item", item.item): f"{item.rank}. {label(item.title)}" for item in items}
    for (side, node), (x, y) in place.items():
        axes.plot([x], [y], "o", color=INK, markersize=4)
        shift, align = {"left": (-0.015, "right"), "right": (0.015, "left")}.get(
            side, (0, "center")
        )
        text = titles[node] if side == "right" else label(node[1] or node[0])
        lift = 0.24 / height if side == "middle" else 0.0
        axes.text(x + shift, y + lift, text, ha=align, va="center", fontsize=9)
    lines = [Line2D([], [], color=colour[r], linewidth=3) for r in relations]
    axes.legend(
        lines, relations, loc="lower center", bbox_to_anchor=(0.5, -0.02), ncols=3, fontsize=8
    )
    return figure


def _node(path: PathExplanation, place: int) -> Node:
    return (path.nodes[place][0], path.nodes[place][1])


def _relation(path: PathExplanation) -> str:
    """A kind of path for the legend, in words: that of its first step."""
    from lkgrag.kg.schema import phrase

    return phrase((path.nodes[0][0], path.relations[0], path.nodes[1][0]))


def _unique(values: list[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _curve(stops: list[tuple[float, float]], bend: float) -> Path:
    """Straight through all stops, or bent between two."""
    if len(stops) != 2 or bend == 0:
        return Path(stops)
    (x0, y0), (x1, y1) = stops
    middle = ((x0 + x1) / 2, (y0 + y1) / 2 + bend)
    return Path([stops[0], middle, stops[1]], [Path.MOVETO, Path.CURVE3, Path.CURVE3])


def _spread(count: int, lower: float = 0.0) -> list[float]:
    """Heights from the top, evenly; ``lower`` moves all down, so that lines pass between nodes."""
    if count == 1:
        return [0.55 - lower / 2]
    return [1.0 - lower - (0.9 - lower) * n / (count - 1) for n in range(count)]
