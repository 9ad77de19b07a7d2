"""The look of the pictures: colours, fonts, and sizes that can be read on a phone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from cycler import cycler
from matplotlib import font_manager
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Ink and paper that the page replaces by its own, light or dark.
INK, PAPER = "#0b0c0d", "#fdfefc"
#: Colours that most eyes tell apart on white and on black (after Okabe and Ito).
COLOURS = ("#2386c4", "#d55e00", "#009e73", "#cc79a7", "#9a8f00", "#8a6fd1", "#a65e2e", "#8c8c8c")
#: Inches. On a phone a picture shrinks to about two thirds; a wider one would be too small to read.
WIDTH = 4.8
#: Fonts for scripts that matplotlib's own lacks, tried where they are installed.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Arial Unicode MS",
    "Segoe UI Emoji",
)


@cache
def fonts() -> list[str]:
    """The fonts of :data:`FONTS` that are installed; matplotlib warns of any other."""
    there = {entry.name for entry in font_manager.fontManager.ttflist}
    return [name for name in FONTS if name in there]


@contextmanager
def style(name: str) -> Iterator[None]:
    """Settings of every picture; text stays text in SVG.

    Args:
        name: of the picture. Ids in its SVG derive from it: the same run gives the same file.
    """
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": fonts(),
        "font.size": 9.5,
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
        # A title in a script that no font has is drawn as boxes in the PNG; the SVG has the text.
        warnings.filterwarnings("ignore", message=".*Glyph.*")
        yield


def axes_of(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; height and width in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()
