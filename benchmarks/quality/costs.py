"""What the runs of a data set cost, and what they were made on."""

from __future__ import annotations

from typing import Any

from benchmarks.tables import table


def costs(runs: dict[str, Any]) -> str:
    """Tokens, seconds and faithfulness of the rows with a language model, a line a run."""
    rows = []
    for key, run in runs.items():
        if not run["tokens_per_prompt"]:
            continue
        loss = (run.get("cross_entropy") or {}).get("val", {}).get("lm")
        # Prompts without worded paths have nothing to delete.
        falls = (run.get("faithfulness") or {}).get("deletion", {})
        rows.append(
            [
                key,
                chip(run),
                f"{run['tokens_per_prompt']:.0f}",
                f"{run['seconds'].get('ranker', float('nan')):.0f}",
                f"{run['seconds']['evaluation'] / max(run['prompts_ranked'], 1):.2f}",
                "" if loss is None else f"{loss['mean']:.3f} ± {loss['se']:.3f}",
                *(_falls(falls.get(system) or {}) for system in ("ranker", "lm")),
            ]
        )
    if not rows:
        return ""
    return table(
        [
            "row / seed",
            "made on",
            "tokens a prompt",
            "seconds of training",
            "seconds a prompt",
            "LM's cross-entropy, validation (chance 2.996)",
            "places that the first item falls without its evidence (controls)",
            "the LM's first item",
        ],
        rows,
    )


def _falls(deletion: dict[str, float | None]) -> str:
    """Places that an item falls without its evidence, and in brackets those of the two controls."""
    if deletion.get("fall") is None:
        return ""
    controls = [deletion[n] for n in ("control", "spare") if deletion.get(n) is not None]
    return f"{deletion['fall']:.1f} ({', '.join(f'{v:.1f}' for v in controls)})"


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
