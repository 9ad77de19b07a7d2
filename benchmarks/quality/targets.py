"""From per-user ranks to the targets Q0 to Q4."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import judge
from benchmarks.quality.table import (
    MAIN,
    OPTIONAL,
    PARTS,
    Line,
    difference,
    figures,
    lines_of,
    of_split,
)
from lkgrag.evaluation import HEADLINE, standard_error


def targets(
    data: str, table: pd.DataFrame, runs: dict[str, Any], settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Q0 to Q4 of a data set; what was not measured is null and not met.

    Where the other row ran on a sample, ``shared`` is the same of the shared events alone. The p of a negative
    gain is not met. A figure that says less than its target asks has a ``note``.

    Args:
        data: the data set.
        table: ranks and losses, as of :func:`~benchmarks.quality.results.gather`.
        runs: by ``row/seed``, likewise.
        settings: what ``quality.yaml`` says.
    """
    lines = {line.name: line for line in lines_of(table, settings)}
    test = of_split(table, "test")
    values: dict[str, float | None] = {"Q0_loss": _below_chance(table)}
    shared: dict[str, float] = {}

    def compare(name: str, row: str, others: list[str]) -> None:
        """The gain over the best of the others, in per cent, and its p."""
        if not {row, *others} <= lines.keys():
            return
        gaps = [difference(test, lines[row], lines[other], control=True) for other in others]
        least = min((g for g in gaps if g is not None), key=lambda g: g["mean"], default=None)
        if least is not None:
            for word, key in {"gain": "per_cent", "p": "p"}.items():
                values[f"{name}_{word}"] = least[key]
                if "shared" in least:
                    shared[f"{name}_{word}"] = least["shared"][key]

    if "lm" in lines:
        gap = difference(test, lines["lm"], lines["random"], retrieved=True)
        values["Q0_random"] = None if gap is None else gap["low"]
    # EASE is fused on small catalogues only.
    compare("Q1", "retriever", [p for p in PARTS if p in lines or p not in OPTIONAL])
    compare("Q2", MAIN, ["retriever"])
    compare("Q3_llamarec", MAIN, ["llamarec", "llamarec+fusion"])
    compare("Q3_reference", MAIN, ["reference", "reference+fusion"])
    # Where no times are tied, there is one order only.
    tied = any(run.get("tied") for run in runs.values())
    values["Q4"] = _lowest_order(test, lines, settings, tied)
    rows = judge("Q", values, data)
    for row in rows:
        if row["name"].endswith("_p"):
            gain = values.get(row["name"].removesuffix("_p") + "_gain")
            row["met"] = bool(row["met"] and gain is not None and gain > 0)
        if row["name"] in shared:
            row["shared"] = shared[row["name"]]
        if row["name"] == "Q4" and values["Q4"] is not None and not tied:
            row["note"] = "of the one order that these files have"
    return rows


def _below_chance(table: pd.DataFrame) -> float | None:
    """Standard errors over users by which the language model's loss is below chance, of the worst seed."""
    losses = of_split(table[table["row"] == MAIN], "val")
    errors = []
    for _, part in losses.groupby("seed"):
        loss, chance = part["nll_lm"].to_numpy(), np.log(part["candidates"]).mean()
        errors.append((chance - loss.mean()) / standard_error(loss, part["user"].to_numpy()))
    return float(min(errors)) if errors else None


def _lowest_order(
    test: pd.DataFrame, lines: dict[str, Line], settings: dict[str, Any], tied: bool
) -> float | None:
    """The metric of lkgrag in its worst order of tied times, of the seeds that all orders have."""
    orders = [n for n in settings["rows"] if n.startswith(f"{MAIN}-ties")] if tied else []
    names = [MAIN, *orders]
    if any(n not in lines for n in names):
        return None
    parts = [test[test["row"] == lines[n].row] for n in names]
    seeds = set.intersection(*(set(p["seed"]) for p in parts))
    if not seeds:
        return None
    means = [
        np.mean([figures(p[p["seed"] == s], lines[n].system)[HEADLINE] for s in seeds])
        for n, p in zip(names, parts, strict=True)
    ]
    return float(min(means))
