"""The table of all systems, for a terminal of 80 columns or a file."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from lkgrag.evaluation.protocol import place

if TYPE_CHECKING:
    from rich.console import Console

    from lkgrag.evaluation.protocol import Metrics
    from lkgrag.evaluation.significance import Difference
#: Column heads and their metrics, for either population.
COLUMNS = {"NDCG@10": "ndcg@10", "Recall@10": "recall@10", "MRR": "mrr"}
#: The least width of a table that no terminal sets.
WIDTH = 80


def systems_table(metrics: Metrics, split: str, columns: dict[str, str] | None = None) -> Table:
    """All systems of a split: over all users (a missed target counts 0) and the retrieved ones.

    The best figure of each column is bold.

    Args:
        metrics: of :func:`~lkgrag.evaluation.protocol.nest`.
        split: ``val`` or ``test``.
        columns: heads and metrics; :data:`COLUMNS` by default.
    """
    columns = columns or COLUMNS
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
            text = _figure(value)
            cells.append(f"[bold]{text}[/]" if value == best[population, metric] else text)
        table.add_row(system, *cells)
    return table


def difference_line(
    system: str, other: str, metric: str, population: str, found: Difference
) -> str:
    """One line: ``ranker - retriever: +0.0123 [+0.0010, +0.0236] p=.032 (NDCG@10, all, 943 users)``."""
    label = metric.upper()
    return f"{system} - {other}: {found} ({label}, {population}, {found.users} users)"


def show(console: Console, metrics: Metrics, split: str, lines: list[str]) -> None:
    """Print the table and the lines on differences; plain text where no terminal reads.

    Args:
        console: where to.
        metrics: of all systems.
        split: which to show.
        lines: of :func:`difference_line`.
    """
    if not console.is_terminal:
        # A pipe has no width, and a figure that is cut off is worse than a long line.
        console.width = max(console.width, WIDTH)
    console.print(systems_table(metrics, split))
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _best(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return max(known, default=math.nan)


def _figure(value: float) -> str:
    """Four digits, without the leading 0: ``.1187``."""
    if math.isnan(value):
        return "-"
    text = f"{value:.4f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def faithful_line(found: dict[str, Any]) -> str:
    """Faithfulness in one sentence."""
    share = found["share_existing"]
    parts = [
        "no path was worded"
        if share is None or np.isnan(share)
        else f"{100 * share:.0f} % of the worded paths exist in the graph"
    ]
    for system, fall in found["deletion"].items():
        if fall["fall"] is not None and not np.isnan(fall["fall"]):
            spare = fall.get("spare")
            own = "" if spare is None or np.isnan(spare) else f", of its own not shown {spare:.1f}"
            parts.append(
                f"{system}: its first item falls {fall['fall']:.1f} places without its evidence "
                f"(without as many paths of others {fall['control']:.1f}{own})"
            )
    return f"{found['prompts']} prompts: " + "; ".join(parts)
