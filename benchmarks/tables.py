"""Put the tables of ``benchmarks/results/speed.json`` into ``docs/speed.md``: ``python -m benchmarks.tables``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.common import stored
from benchmarks.record import put

PAGE = Path(__file__).resolve().parents[1] / "docs" / "speed.md"


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many digits that say something; a dash for none."""
    if value is None:
        return "–"
    if value >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, figures to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paths(found: dict[str, Any]) -> str:
    """Prompts a second by data set, ours and others."""
    sets = found["sets"]
    names = list(sets)
    rows = []
    for kind in ("ours", "peers"):
        for what in next(iter(sets.values()))[kind]:
            label = f"lkgrag, {what}" if kind == "ours" else what
            rows.append([label, *(number(sets[n][kind][what]) for n in names)])
    times = next(iter(sets.values()))["times"]
    for peer in times:
        rows.append([f"up to 4, times {peer}", *(number(sets[n]["times"][peer]) for n in names)])
    return table(["prompts a second, one core", *names], rows)


def ladder(found: dict[str, Any]) -> str:
    """Inference, a change a row."""
    rows = [
        [
            name,
            number(r["tokens_a_prompt"]),
            number(r["prompts_a_second"]),
            number(r["per_cent_of_floor"]),
        ]
        for name, r in found["inference"].items()
    ]
    return table(["inference", "tokens a prompt", "prompts a second", "% of the floor"], rows)


def training(found: dict[str, Any]) -> str:
    """Training, stock and ours."""
    rows = [
        [name, number(found["training"][name]["examples_a_second"]),
         number(found["training"][name]["per_cent_of_floor"])]
        for name in ("stock", "ours")
    ]  # fmt: skip
    return table(["training", "examples a second", "% of the floor"], rows)


def whole(found: dict[str, Any]) -> str:
    """From an id to an explained ranking."""
    rows = [[f"cold: {k}", number(v)] for k, v in found["cold"].items()]
    rows += [[f"warm: {k}", number(v)] for k, v in found["warm"].items()]
    return table(["one user", "seconds"], [["`--help`", number(found["help"])], *rows])


def targets(rows: list[dict[str, Any]]) -> str:
    """What was aimed at, and whether it was met."""
    return table(
        ["target", "measured", "aim", "met"],
        [
            [
                f"{r['name']}: {r['what']}",
                number(r["value"]),
                number(r["target"]),
                "yes" if r["met"] else "no",
            ]
            for r in rows
        ],
    )


def main() -> int:
    """Entry point."""
    found = stored("speed")
    if found is None:
        print(
            "no benchmarks/results/speed.json: run python -m benchmarks.run speed", file=sys.stderr
        )
        return 2
    made = {
        "paths": lambda: paths(found["paths"]),
        "inference": lambda: ladder(found["lm"]),
        "training": lambda: training(found["lm"]),
        "whole": lambda: whole(found["whole"]),
        "targets": lambda: targets(found["targets"]),
    }
    for name, make in made.items():
        put(PAGE, name, make())
    return 0


if __name__ == "__main__":
    sys.exit(main())
