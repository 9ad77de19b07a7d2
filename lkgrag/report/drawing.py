"""The graph between a user's history and the top candidates, drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from lkgrag.kg.naming import phrase_metapath
from lkgrag.kg.safe_names import shown
from lkgrag.report.labels import label
from lkgrag.report.style import COLOURS, INK, PAPER, WIDTH, style
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Candidates that are drawn.
MOST_CANDIDATES = 5
#: Columns of the name of an item, of an entity between two, and of a kind of path.
NAME, BETWEEN, KIND = 23, 14, 34
#: Thinnest and thickest line, in points.
THIN, THICK = 0.7, 5.0
#: Inches: between nodes, from a node to its name, at the edges, of a row of the legend.
PITCH, LIFT, EDGE, LEGEND = 0.5, 0.13, 0.12, 0.2
#: Inches that paths with the same ends bend away from one another.
BEND = 0.13

#: Index of a node of a ranking that was stored before indices were.
UNKNOWN = -1
#: Type, name and index; the index tells nodes without a name apart.
Node = tuple[str, str, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """One path of the drawing.

    Attributes:
        nodes: that it passes, from the history on.
        end: id of the candidate.
        kind: its meta-path in words.
        salience: of the path.
    """

    nodes: list[Node]
    end: str
    kind: str
    salience: float


def draw(
    ranking: Recommendation, name: str, colours: dict[str, str] | None = None
) -> Figure | None:
    """Draw the history left, shared entities in the middle, candidates right.

    The width of a line is the salience of its path.

    Args:
        ranking: explained.
        name: of the picture, which its ids derive from.
        colours: of kinds of path, shared by the drawings of a page; new kinds are added.

    Returns:
        None if no candidate has a path.
    """
    items = ranking.items[:MOST_CANDIDATES]
    paths = [_drawn(item, path) for item in items for path in item.paths]
    if not paths:
        return None
    with style(name):
        return _draw(items, paths, {} if colours is None else colours)


def _drawn(item: RankedItem, path: PathExplanation) -> Drawn:
    types = [node[0] for node in path.nodes]
    edges = tuple(zip(types[:-1], path.relations, types[1:], strict=True))
    index = path.index or [UNKNOWN] * len(path.nodes)
    nodes = [(kind, name, i) for (kind, name), i in zip(path.nodes, index, strict=True)]
    return Drawn(nodes, item.item, label(phrase_metapath(edges), KIND), path.salience)


def _colours(kinds: list[str], shared: dict[str, str]) -> dict[str, str]:
    """The colour of each kind: the page's, unless another kind of the drawing has it already."""
    out: dict[str, str] = {}
    for kind in kinds:
        usual = shared.setdefault(kind, COLOURS[len(shared) % len(COLOURS)])
        free = [c for c in COLOURS if c not in out.values()]
        out[kind] = usual if usual in free or not free else free[0]
    return out


def _draw(items: list[RankedItem], paths: list[Drawn], colours: dict[str, str]) -> Figure:
    right = {item.item: n for n, item in enumerate(items)}
    # A node stands about as high as the nodes that it leads to: few lines cross.
    left = _order((p.nodes[0], right[p.end]) for p in paths)
    between = _order((node, right[p.end]) for p in paths for node in p.nodes[1:-1])
    kinds = list(dict.fromkeys(p.kind for p in paths))
    rows = max(len(left), len(items), len(between))
    foot = EDGE + LEGEND * math.ceil(len(kinds) / 2)
    height = foot + PITCH * rows + EDGE
    figure = Figure(figsize=(WIDTH, height))
    # One unit is one inch.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    low, high = foot + 0.1, height - EDGE - 2 * LIFT
    starts = dict(zip(left, _spread(len(left), low, high), strict=True))
    ends = dict(zip(right, _spread(len(right), low, high), strict=True))
    middle = dict(zip(between, _spread(len(between), low, high, PITCH / 2), strict=True))
    place: dict[Node, Point] = {}
    for path in paths:
        for n, node in enumerate(path.nodes[1:-1], start=1):
            x = EDGE + (WIDTH - 2 * EDGE) * n / (len(path.nodes) - 1)
            place.setdefault(node, (x, middle[node]))
    colour = _colours(kinds, colours)
    _lines(axes, paths, starts, ends, place, colour)
    for node, y in starts.items():
        _name(axes, (EDGE, y), _text(node, NAME), "left")
    for item in items:
        text = f"{item.rank}. {label(item.title, NAME) or item.item}"
        _name(axes, (WIDTH - EDGE, ends[item.item]), text, "right")
    for node, point in place.items():
        _name(axes, point, _text(node, BETWEEN), "center")
    axes.legend(
        [Line2D([], [], color=colour[k], linewidth=3) for k in kinds],
        kinds,
        loc="lower center",
        borderaxespad=0.2,
        ncols=2,
        fontsize=8,
    )
    return figure


def _lines(
    axes: Axes,
    paths: list[Drawn],
    starts: dict[Node, float],
    ends: dict[str, float],
    place: dict[Node, Point],
    colour: dict[str, str],
) -> None:
    top = max(p.salience for p in paths)
    twins: dict[tuple[Node, str], int] = {}
    for path in paths:
        stops = [(EDGE, starts[path.nodes[0]])]
        stops += [place[node] for node in path.nodes[1:-1]]
        stops.append((WIDTH - EDGE, ends[path.end]))
        pair = (path.nodes[0], path.end)
        number = twins[pair] = twins.get(pair, -1) + 1
        bend = BEND * math.ceil(number / 2) * (-1) ** number if len(stops) == 2 else 0.0
        axes.add_patch(
            PathPatch(
                _curve(stops, bend),
                facecolor="none",
                edgecolor=colour[path.kind],
                linewidth=THIN + (THICK - THIN) * math.exp(path.salience - top),
                alpha=0.8,
                capstyle="round",
                joinstyle="round",
            )
        )


def _text(node: Node, columns: int) -> str:
    """A node's name, or its type where it has none."""
    return label(node[1], columns) or label(shown(node[0]), columns)


def _name(axes: Axes, point: Point, text: str, side: str) -> None:
    """Draw a node with its name above, on paper, which keeps lines off it."""
    x, y = point
    axes.plot([x], [y], "o", color=INK, markersize=4, zorder=3)
    box = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    axes.text(x, y + LIFT, text, ha=side, va="center", fontsize=8.5, bbox=box, zorder=4)


def _order(pairs: Iterable[tuple[Node, int]]) -> list[Node]:
    """The nodes by the mean place of the nodes that they lead to."""
    places: dict[Node, list[int]] = {}
    for node, place in pairs:
        places.setdefault(node, []).append(place)
    return sorted(places, key=lambda node: sum(places[node]) / len(places[node]))


def _curve(stops: list[Point], bend: float) -> Path:
    """A curve through all stops, level at each."""
    points, codes = [stops[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(stops):
        half = (x0 + x1) / 2
        points += [(half, y0 + bend), (half, y1 + bend), (x1, y1)]
        codes += [Path.CURVE4] * 3
    return Path(points, codes)


def _spread(count: int, low: float, high: float, inset: float = 0.0) -> list[float]:
    """Even heights from the top down; ``inset`` keeps them off either end."""
    if count < 2:
        return [(low + high) / 2] * count
    low, high = low + inset, high - inset
    return [high - (high - low) * n / (count - 1) for n in range(count)]
