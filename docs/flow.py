"""Draw the picture of the flow, ``docs/_static/flow.svg``: ``python docs/flow.py``.

All text lies on filled boxes, and lines have a middle grey, so that light and dark pages show it alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

FILE = Path(__file__).parent / "_static" / "flow.svg"
WIDTH, HEIGHT = 736, 628
FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
#: Sizes of headings and of all other text, in pixels.
HEADING, TEXT = 14, 12.5
#: From the base line of a heading to that of the first line, and from line to line.
AFTER_HEADING, LEADING = 19, 16.5
INK, WHITE, LINE = "#1b1f24", "#ffffff", "#7d8590"
#: Fill and border of each kind of box.
COLOURS = {
    "data": ("#e7eaee", "#8b949e"),
    "graph": ("#cdebe3", "#3f9c86"),
    "retrieval": ("#d4e4fa", "#5b8fd6"),
    "language": ("#e5dcf7", "#8d72c9"),
    "ranking": ("#fcebc8", "#c2912e"),
    "chip": ("#ffffff", "#5b8fd6"),
    "label": ("#f3f4f6", "#c3c8cf"),
    "mark": ("#57606a", "#57606a"),
}


@dataclass(frozen=True)
class Box:
    """A rounded box with a heading and lines below it, all centred.

    Attributes:
        x: left edge.
        y: upper edge.
        width: in pixels.
        height: in pixels.
        kind: one of :data:`COLOURS`.
        heading: in bold.
        lines: below the heading.
    """

    x: float
    y: float
    width: float
    height: float
    kind: str
    heading: str = ""
    lines: tuple[str, ...] = ()

    @property
    def middle(self) -> float:
        """The horizontal centre."""
        return self.x + self.width / 2

    @property
    def base(self) -> float:
        """The first base line, so that the text stands in the vertical centre."""
        below = LEADING * (len(self.lines) - 1) + (AFTER_HEADING if self.heading else 0)
        return self.y + (self.height - below) / 2 + 4.5

    def svg(self) -> list[str]:
        """The rectangle and its text."""
        fill, border = COLOURS[self.kind]
        small = self.kind in ("chip", "label", "mark")
        out = [
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" '
            f'rx="{10 if small else 8}" fill="{fill}" stroke="{border}"/>'
        ]
        base, ink = self.base, WHITE if self.kind == "mark" else INK
        if self.heading:
            out.append(text(self.heading, self.middle, base, bold=True, ink=ink))
            base += AFTER_HEADING
        out += [
            text(line, self.middle, base + LEADING * number, ink=ink)
            for number, line in enumerate(self.lines)
        ]
        return out


@dataclass(frozen=True)
class Arrow:
    """A line along points with a head at its end.

    Attributes:
        points: corners, ``(x, y)``.
        label: on the line, where it says something.
        at: centre of the label.
        dashed: for what explains and is not computed with.
    """

    points: tuple[tuple[float, float], ...]
    label: str = ""
    at: tuple[float, float] = (0, 0)
    dashed: bool = False

    @property
    def tag(self) -> Box | None:
        """The box of the label."""
        if not self.label:
            return None
        width = round(text_width(self.label, TEXT)) + 18
        return Box(self.at[0] - width / 2, self.at[1] - 11, width, 22, "label", lines=(self.label,))

    def svg(self) -> list[str]:
        """The line; the label is drawn later, above all lines."""
        path = " L".join(f"{x:g} {y:g}" for x, y in self.points)
        dash = ' stroke-dasharray="5 4"' if self.dashed else ""
        return [
            f'<path d="M{path}" fill="none" stroke="{LINE}" stroke-width="1.8"{dash} '
            'marker-end="url(#head)"/>'
        ]


def text_width(words: str, size: float) -> float:
    """About how wide words are, on the safe side for the fonts of :data:`FONT`."""
    return 0.56 * size * len(words)


def text(
    words: str, x: float, y: float, bold: bool = False, ink: str = INK, left: bool = False
) -> str:
    """A line of text, centred at ``x`` or beginning there."""
    size, weight = (HEADING, ' font-weight="600"') if bold else (TEXT, "")
    anchor = "start" if left else "middle"
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{ink}"{weight}>'
        f"{escape(words, quote=False)}</text>"
    )


# Left column: the graph and its paths. Right column: stage one. Below them the forward pass.
TABLES = Box(20, 12, 300, 56, "data", "Tables", ("attributes of items and users, triples",))
INTERACTIONS = Box(400, 12, 316, 56, "data", "Interactions", ("who chose what, and when",))
GRAPH = Box(
    20,
    112,
    300,
    96,
    "graph",
    "Knowledge graph",
    ("a PyG HeteroData:", "items, users, values, behaviour"),
)
STAGE_ONE = Box(400, 112, 316, 96, "retrieval")
CHIPS = [
    Box(412 + 74 * number, 144, 70, 22, "chip", lines=(name,))
    for number, name in enumerate(("LRURec", "counts", "graph", "EASE"))
]
PATHS = Box(20, 248, 300, 56, "graph", "Paths", ("from each history item to each candidate",))
SCORER = Box(
    20,
    388,
    158,
    92,
    "graph",
    "Path scorer",
    ("a salience for each", "path, and a score for", "each candidate"),
)
PROMPT = Box(
    202,
    388,
    152,
    92,
    "language",
    "Prompt",
    ("history, candidates,", "and the most salient", "paths in words"),
)
MODEL = Box(
    378,
    388,
    156,
    92,
    "language",
    "Language model",
    ("frozen, with LoRA;", "reads a score for", "each candidate"),
)
FUSED = Box(558, 388, 158, 92, "ranking", "Fused score", ("lm", "+ a · scorer", "+ b · prior"))
RANKING = Box(276, 524, 440, 92, "ranking")
#: The first two items of the tutorial's first ranking, and their first explanations.
EXAMPLE = (
    ("1", "Ito's Winter", "sequel of Ito's Island"),
    ("2", "Pham's Garden", "has a title like that of Brandt's Garden"),
)
PASS = (8, 334, 720, 158)
MARK = Box(196, 323, 268, 22, "mark", lines=("one forward pass, no token generated",))

ARROWS = [
    Arrow(((170, 68), (170, 109))),
    Arrow(((558, 68), (558, 109))),
    Arrow(((400, 52), (360, 52), (360, 132), (323, 132)), "behaviour", (360, 90)),
    Arrow(((320, 184), (397, 184))),
    Arrow(((170, 208), (170, 245))),
    Arrow(((480, 208), (480, 276), (323, 276)), "20 candidates", (406, 276)),
    Arrow(((99, 304), (99, 385))),
    Arrow(((178, 434), (199, 434))),
    Arrow(((354, 434), (375, 434))),
    Arrow(((534, 434), (555, 434))),
    Arrow(((150, 388), (150, 364), (602, 364), (602, 385)), "a · scorer", (366, 364)),
    Arrow(((672, 208), (672, 385)), "b · prior", (672, 276)),
    Arrow(((637, 480), (637, 521))),
    Arrow(
        ((60, 480), (60, 570), (273, 570)),
        "paths that explain it",
        (164, 570),
        dashed=True,
    ),
]
BOXES = [TABLES, INTERACTIONS, GRAPH, STAGE_ONE, PATHS, SCORER, PROMPT, MODEL, FUSED, RANKING]


def picture() -> str:
    """The whole picture as SVG."""
    x, y, width, height = PASS
    words = (
        "Tables and interactions give a knowledge graph; interactions and the graph give stage one, whose fused "
        "top 20 are the candidates. Paths join history and candidates. In one forward pass the path scorer, the "
        "prompt and the language model give a fused score, and so the ranking, with the paths that explain it."
    )
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="{escape(FONT)}">',
        "<title>The flow from data to an explained ranking</title>",
        f"<desc>{escape(words)}</desc>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>',
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="12" fill="none" stroke="{LINE}" '
        'stroke-width="1.8" stroke-dasharray="2 4" stroke-linecap="round"/>',
    ]
    for arrow in ARROWS:
        out += arrow.svg()
    for box in [*BOXES, *CHIPS, MARK, *(arrow.tag for arrow in ARROWS if arrow.tag)]:
        out += box.svg()
    out.append(text("Stage one: retrieval", STAGE_ONE.middle, 134, bold=True))
    out.append(text("fused: the best 20 items of all", STAGE_ONE.middle, 192))
    out.append(text("Ranking", RANKING.middle, 546, bold=True))
    for number, (rank, title, reason) in enumerate(EXAMPLE):
        base = 572 + 24 * number
        out += [
            text(words, RANKING.x + indent, base, left=True)
            for words, indent in ((rank, 18), (title, 40), (reason, 150))
        ]
    return "\n".join([*out, "</svg>"]) + "\n"


def main() -> None:
    """Write the file."""
    FILE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
