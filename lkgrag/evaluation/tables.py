"""The table of all systems, for a terminal of 80 columns or a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from lkgrag.evaluation.metrics import HEADLINE, metric_label
from lkgrag.evaluation.protocol import place

if TYPE_CHECKING:
    from rich.console import Console

    from lkgrag.evaluation.protocol import Metrics
    from lkgrag.evaluation.significance import Difference

#: Metrics that are shown for either population.
COLUMNS = (HEADLINE, "recall@10", "mrr")
#: The least width of a table without a terminal.
WIDTH = 80


def choose_columns(ks: Sequence[int]) -> tuple[str, ...]:
    """The metrics of a table: those at 10, or at the largest cut-off if 10 is not among those that were asked for.

    Args:
        ks: ``evaluation.ks``.
    """
    if not ks or 10 in ks:
        return COLUMNS
    return (f"ndcg@{max(ks)}", f"recall@{max(ks)}", "mrr")


def systems_table(
    metrics: Metrics, split: str, columns: Sequence[str] | Mapping[str, str] = COLUMNS
) -> Table:
    """All systems of a split: over all users (a missed target counts 0) and the retrieved ones.

    The best figure of each column is bold.

    Args:
        metrics: of :func:`~lkgrag.evaluation.protocol.nest`.
        split: ``val`` or ``test``.
        columns: keys of metrics, or heads and keys.
    """
    if not isinstance(columns, Mapping):
        columns = {metric_label(key): key for key in columns}
    rows = {s: splits[split] for s, splits in metrics.items() if split in splits}
    keys = [(p, m) for p in ("all", "retrieved") for m in columns.values()]
    best = {k: _best([row[k[0]].get(k[1], math.nan) for row in rows.values()]) for k in keys}
    table = Table(title=f"{split}: all users, and those whose item was retrieved", box=None)
    table.add_column("system", no_wrap=True)
    for population in ("all", "retrieved"):
        for number, head in enumerate(columns):
            first = population if number == 0 else ""
            table.add_column(f"{first}\n{head}", justify="right", no_wrap=True)
    for system in sorted(rows, key=place):
        cells = []
        for population, metric in keys:
            value = rows[system][population].get(metric, math.nan)
            text = four_digits(value, missing="-")
            cells.append(f"[bold]{text}[/]" if value == best[population, metric] else text)
        table.add_row(system, *cells)
    return table


def difference_line(
    system: str, other: str, metric: str, population: str, difference: Difference
) -> str:
    """One line: ``ranker - retriever: +0.0123 [+0.0010, +0.0236] p=.032 (NDCG@10, all, 943 users)``."""
    return (
        f"{system} - {other}: {difference} "
        f"({metric_label(metric)}, {population}, {difference.users} users)"
    )


def show(
    console: Console,
    metrics: Metrics,
    split: str,
    lines: list[str],
    columns: Sequence[str] | Mapping[str, str] = COLUMNS,
) -> None:
    """Print the table and the lines on differences; without a terminal as plain text.

    Args:
        console: where to.
        metrics: of all systems.
        split: which to show.
        lines: of :func:`difference_line`.
        columns: as of :func:`systems_table`.
    """
    if not console.is_terminal:
        # A pipe has no width, and a cut figure is worse than a long line.
        console.width = max(console.width, WIDTH)
    console.print(systems_table(metrics, split, columns))
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def four_digits(value: float | None, missing: str = "–") -> str:
    """Four digits without the leading 0, as ``.1187``; ``missing`` for None and NaN."""
    if value is None or math.isnan(value):
        return missing
    return f"{value:.4f}".removeprefix("0")


def _best(values: list[float]) -> float:
    return max((v for v in values if not math.isnan(v)), default=math.nan)


def faithful_line(faithfulness: dict[str, Any]) -> str:
    """Faithfulness in a sentence.

    Args:
        faithfulness: of ``metrics.json``.
    """
    share = faithfulness["share_existing"]
    parts = [
        "no path was worded"
        if share is None or np.isnan(share)
        else f"{100 * share:.0f} % of the worded paths exist in the graph"
    ]
    for system, fall in faithfulness["deletion"].items():
        if fall["fall"] is not None and not np.isnan(fall["fall"]):
            spare = fall.get("spare")
            rest = "" if spare is None or np.isnan(spare) else f", of its own not shown {spare:.1f}"
            parts.append(
                f"{system}: its first item falls {fall['fall']:.1f} places without its evidence "
                f"(without as many paths of others {fall['control']:.1f}{rest})"
            )
    return f"{faithfulness['prompts']} prompts: " + "; ".join(parts)
