"""What the runs of a data set cost, and what they were made on."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from benchmarks.quality.words import WORDS
from benchmarks.tables import table

#: Heads of the columns after the row's name; the first is left out where all runs used one chip.
COLUMNS = (
    "made on",
    "tokens a prompt",
    "seconds of training",
    "seconds a prompt",
    "LM's cross-entropy, worst seed (chance 2.996)",
    "places that the first item falls without its evidence (controls)",
    "the LM's first item",
)


def costs(runs: dict[str, Any]) -> str:
    """Tokens, seconds and faithfulness of the rows with a language model, a line a row and chip, means over its seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, run in runs.items():
        if run["tokens_per_prompt"]:
            groups.setdefault((key.split("/")[0], chip(run)), []).append(run)
    if not groups:
        return ""
    first = 0 if len({used for _, used in groups}) > 1 else 1
    rows = [
        [WORDS.get(row, row), *[used, *_cells(made)][first:]]
        for (row, used), made in groups.items()
    ]
    return table(["row", *COLUMNS[first:]], rows)


def _cells(runs: list[dict[str, Any]]) -> list[str]:
    """The line of runs of one row and chip, by :data:`COLUMNS` after the first."""
    losses = [(run.get("cross_entropy") or {}).get("val", {}).get("lm") for run in runs]
    worst = max((loss for loss in losses if loss), key=lambda loss: loss["mean"], default=None)
    seconds = [run["seconds"]["evaluation"] / max(run["prompts_ranked"], 1) for run in runs]
    # Prompts without worded paths have nothing to delete.
    falls = [(run.get("faithfulness") or {}).get("deletion", {}) for run in runs]
    return [
        f"{fmean(run['tokens_per_prompt'] for run in runs):.0f}",
        f"{fmean(run['seconds'].get('ranker', math.nan) for run in runs):.0f}",
        f"{fmean(seconds):.2f}",
        "" if worst is None else f"{worst['mean']:.3f} ± {worst['se']:.3f}",
        *(_falls([fall.get(system) or {} for fall in falls]) for system in ("ranker", "lm")),
    ]


def _falls(deletions: list[dict[str, float | None]]) -> str:
    """Places that an item falls without its evidence, and in brackets those of the two controls."""

    def mean(name: str) -> str:
        values = [d[name] for d in deletions if d.get(name) is not None]
        return f"{fmean(v for v in values if v is not None):.1f}" if values else ""

    controls = [told for told in map(mean, ("control", "spare")) if told]
    return f"{mean('fall')} ({', '.join(controls)})" if mean("fall") else ""


def made_on(runs: dict[str, Any]) -> str:
    """When and on what the runs were made."""
    dates = sorted({run["date"] for run in runs.values()})
    machines = sorted({machine(run) for run in runs.values()})
    return f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}; {'; '.join(machines)}"


def machine(run: dict[str, Any]) -> str:
    """What a run was made on: the GPU if it used one, the processor, and PyTorch's version."""
    has = run["hardware"]
    told = f"{has['processor']}, {run['threads']} of {has['cores']} cores a run"
    if run.get("device") == "cuda":
        told = f"{chip(run)} beside {told}"
    # Older runs do not have it.
    versions = run.get("versions")
    return f"{told}, torch {versions['torch']}" if versions else told


def chip(run: dict[str, Any]) -> str:
    """The GPU that a run used, or the processor."""
    has = run["hardware"]
    return str((has.get("gpus") or ["GPU"])[0] if run.get("device") == "cuda" else has["processor"])
