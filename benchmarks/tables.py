"""Put the tables of ``benchmarks/results/`` into the pages of ``docs/``: ``python -m benchmarks.tables``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import stored
from benchmarks.large import READOUTS, seconds_a_prompt
from benchmarks.record import put
from benchmarks.scale.slopes import SIZES, projection, slopes

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: The page of each result.
PAGES = {"speed": "speed.md", "scale": "scale.md", "large": "large-models.md"}


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
            number(r.get("peak_mib")),
        ]
        for name, r in found["inference"].items()
    ]
    head = [
        "inference",
        "tokens a prompt",
        "prompts a second",
        "% of the floor",
        "peak memory, MiB",
    ]
    return table(head, rows)


def training(found: dict[str, Any]) -> str:
    """Training, stock and ours."""
    what = ("examples_a_second", "per_cent_of_floor", "peak_mib")
    rows = [
        [name, *(number(found["training"][name].get(key)) for key in what)]
        for name in ("stock", "ours")
    ]
    return table(["training", "examples a second", "% of the floor", "peak memory, MiB"], rows)


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
                number(r["value"])
                + (f" (shared events alone: {number(r['shared'])})" if "shared" in r else "")
                + (f" ({r['note']})" if "note" in r else ""),
                number(r["target"]),
                "not measured" if r["value"] is None else "yes" if r["met"] else "no",
            ]
            for r in rows
        ],
    )


def lru(found: dict[str, Any]) -> str:
    """LRURec, ours and the published algorithm."""
    what = {
        "examples_a_second": "examples a second, training",
        "users_a_second": "users a second, ranking",
        "seconds_all_users": "seconds for all users",
        "peak_mib": "peak memory, MiB",
    }
    names = {
        "ours": "lkgrag",
        "published_same": "published algorithm, our sizes",
        "published_wide": "published algorithm, its sizes",
    }
    sets = found["sets"]
    rows = [
        [f"{names[part]}: {label}", *(number(sets[s][part][key]) for s in sets)]
        for key, label in what.items()
        for part in names
    ]
    return table(["LRURec, one process", *sets], rows)


def graph(found: dict[str, Any]) -> str:
    """Graphs of several scales."""
    what = {
        "items": "items",
        "users": "users",
        "interactions": "interactions",
        "edges": "edges, each once",
        "build_seconds": "seconds to build the graph",
        "index_seconds": "seconds to index its paths",
        "peak_gib": "peak memory of everything, GiB",
        "prompts_a_second": "prompts a second, the ranker's paths",
        "paths_a_prompt": "paths a prompt",
        "touched": "edges touched a prompt",
        "hub_times_median": "dearest prompt with a hub, times the median without",
        "longest_times_median": "dearest prompt without, times the median",
        "prompts_a_second_up_to_4": "prompts a second, shortest paths up to 4",
        "touched_up_to_4": "edges touched a prompt, up to 4",
        "map_gib": "size of the mapped tables, GiB",
        "mapped_prompts_a_second": "prompts a second from mapped tables",
        "mapped_anonymous_mib": "memory of its own that this takes, MiB",
    }
    scales = found["scales"]
    rows = [[label, *(number(scales[s][key]) for s in scales)] for key, label in what.items()]
    return table(["times Amazon Beauty", *scales], rows)


def many(found: dict[str, Any]) -> str:
    """LRURec by scale."""
    what = {
        "items": "items",
        "batch_size": "windows a step",
        "examples_a_second": "examples a second, training",
        "epoch_seconds": "seconds an epoch, calculated",
        "users_a_second": "users a second, best 20 of all items",
        "peak_gib": "peak memory, GiB",
    }
    scales = found["lrurec"]
    rows = [[label, *(number(scales[s][key]) for s in scales)] for key, label in what.items()]
    return table(["LRURec, times Amazon Beauty", *scales], rows)


def calculated(found: dict[str, Any]) -> str:
    """Sizes that were not measured."""
    slope = slopes(found)
    rows = [projection(slope, *size) for size in SIZES]
    what = {
        "items": "items",
        "build_hours": "hours to build the graph",
        "build_gib": "memory to build it in one piece, GiB",
        "index_gib": "mapped tables of paths, GiB",
        "paths_hours": "hours of paths for all users",
        "epoch_hours": "hours an epoch of LRURec, sampled softmax",
        "lrurec_gib": "weights, gradients and moments of LRURec, GiB",
        "scoring_hours": "hours to score all items for all users",
    }
    head = [f"{r['users']:,.0f} users, {r['edges']:,.0f} edges" for r in rows]
    return table(
        ["calculated, one core", *head],
        [[label, *(number(r[key]) for r in rows)] for key, label in what.items()],
    )


def large(found: dict[str, Any]) -> str:
    """A large model in 4 bits."""
    rows = []
    for readout in READOUTS:
        r = found[readout]
        rows.append(
            [
                f"`{readout}`",
                number(r["tokens_a_prompt"]),
                *map(number, seconds_a_prompt(r)),
                number(r["peak_gib"]),
            ]
        )
    head = [
        "readout",
        "tokens a prompt",
        "seconds a prompt, training",
        "ranking",
        "peak memory of the GPU, GiB",
    ]
    gpu, torch = found["hardware"]["gpus"][0], found["versions"]["torch"]
    made = f"{gpu}, {found['date']}, torch {torch}, {found['weights'] / 1e9:.2f} billion weights: {found['note']}."
    return f"{table(head, rows)}\n\n{made}"


def pages(name: str, found: dict[str, Any]) -> dict[str, str]:
    """The tables of a result that are there, by their markers."""
    if name == "large":
        return {"large": large(found)}
    if name == "speed":
        makers: dict[str, tuple[str, Callable[[Any], str]]] = {
            "paths": ("paths", paths),
            "lru": ("lru", lru),
            "inference": ("lm", ladder),
            "training": ("lm", training),
            "whole": ("whole", whole),
        }
    else:
        makers = {"graph": ("graph", graph), "many": ("users", many)}
    out = {marker: make(found[part]) for marker, (part, make) in makers.items() if part in found}
    if name == "scale":
        out["calculated"] = calculated(found)
    return {**out, "targets": targets(found["targets"])}


def main() -> int:
    """Entry point."""
    status = 0
    for name, page in PAGES.items():
        found = stored(name)
        if found is None:
            line = f"python -m benchmarks.run {name}"
            print(f"no benchmarks/results/{name}.json: run {line}", file=sys.stderr)
            status = 2
            continue
        for marker, text in pages(name, found).items():
            put(DOCS / page, marker, text)
    return status


if __name__ == "__main__":
    sys.exit(main())
