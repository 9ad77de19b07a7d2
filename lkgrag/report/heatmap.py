"""Which kinds of path matter to which users, as a heat map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Rectangle

from lkgrag.report.groups import groups
from lkgrag.report.labels import label
from lkgrag.report.style import COLOURS, INK, axes_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from lkgrag.report.run_data import RunData

#: Columns of the heat map; rarer meta-paths are summed up in one more.
MOST_METAPATHS = 8
REST = "others"
#: Characters of a row's or a column's name.
ROW, COLUMN = 24, 14
#: Opacity of the greatest share, on which ink can be read on a light page and on a dark one.
DEEPEST = 0.7


@dataclass(frozen=True)
class Salience:
    """Mean shares of the scorer's attention on test.

    Attributes:
        metapaths: ``M`` names, the most salient first.
        words: by name, the meta-path in words, where the name alone does not tell.
        groups: ``G`` names.
        sizes: prompts in each group.
        shares: ``[G, M]``.
    """

    metapaths: list[str]
    words: dict[str, str]
    groups: list[str]
    sizes: list[int]
    shares: NDArray[np.float64]


def salience_of(run: RunData) -> Salience | None:
    """The table of the heat map; None if the run does not hold it."""
    if run.salience is None or run.prompts is None:
        return None
    prompts = run.prompts[run.prompts["split"] == "test"].reset_index(drop=True)
    shares = run.salience[run.salience["split"] == "test"]
    if prompts.empty or shares.empty:
        return None
    wide = shares.pivot_table("share", "prompt", "metapath", "sum", 0.0)
    wide = wide.reindex(range(len(prompts)), fill_value=0.0)
    kinds = list(wide.mean().sort_values(ascending=False, kind="stable").index)
    which = groups(prompts)
    values = np.stack([wide.loc[which[g].to_numpy(), kinds].mean().to_numpy() for g in which])
    names = kinds[:MOST_METAPATHS]
    if len(kinds) > len(names):
        rest = values[:, len(names) :].sum(1, keepdims=True)
        values = np.concatenate([values[:, : len(names)], rest], 1)
    words = shares.groupby("metapath")["words"].unique()
    return Salience(
        names + [REST] * (len(kinds) > len(names)),
        {n: " or ".join(sorted(words[n])) for n in names if not _tells(n, words[n])},
        list(which.columns),
        [int(which[g].sum()) for g in which],
        values,
    )


def _tells(name: str, words: Iterable[str]) -> bool:
    """Whether a name says as much as the words: both are the same, or it names the shared value."""
    return any(text in (name, f"has the same {name} as") for text in words)


def draw_salience(table: Salience) -> Figure:
    """Draw the heat map, a row a group: one hue whose opacity grows with the share, on any background."""
    figure, axes = axes_of(1.0 + 0.25 * len(table.groups))
    top = max(float(table.shares.max()), 1e-9)
    for (row, column), value in np.ndenumerate(table.shares):
        # The root tells small shares apart too.
        opacity = DEEPEST * float(np.sqrt(max(value, 0.0) / top))
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=COLOURS[0], alpha=opacity, linewidth=0))
        axes.text(
            column,
            row,
            f"{100 * value:.0f}" if value >= 0.095 else f"{100 * value:.1f}",
            ha="center",
            va="center_baseline",
            color=INK,
            fontsize=8,
        )
    columns, rows = range(len(table.metapaths)), range(len(table.groups))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    names = [label(name, COLUMN) for name in table.metapaths]
    axes.xaxis.tick_top()
    axes.set_xticks(columns, names, rotation=40, ha="left", rotation_mode="anchor")
    sizes = zip(table.groups, table.sizes, strict=True)
    axes.set_yticks(rows, [f"{label(name, ROW)} ({size})" for name, size in sizes])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
