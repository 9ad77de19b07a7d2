"""Put the tables of ``benchmarks/results/`` into the pages of ``docs/``: ``python -m benchmarks.tables``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import put, stored
from benchmarks.large import READOUTS, seconds_a_prompt
from benchmarks.scale.slopes import SIZES, projection, slopes

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: The page of each result.
PAGES = {"speed": "speed.md", "scale": "scale.md", "large": "large-models.md"}
#: Figures of a graph of some scale.
GRAPH = {
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
    "row_read_seconds": "seconds to start reading some row of the graph",
    "map_gib": "size of the mapped tables, GiB",
    "mapped_prompts_a_second": "prompts a second from mapped tables",
    "mapped_anonymous_mib": "memory of its own that this takes, MiB",
}
#: Figures of LRURec on data of some scale.
MANY = {
    "items": "items",
    "batch_size": "windows a step",
    "examples_a_second": "examples a second, training",
    "epoch_seconds": "seconds an epoch, calculated",
    "users_a_second": "users a second, best 20 of all items",
    "peak_gib": "peak memory, GiB",
}
#: Figures of a size that was not measured.
CALCULATED = {
    "items": "items",
    "build_hours": "hours to build the graph",
    "build_gib": "memory to build it in one piece, GiB",
    "index_gib": "mapped tables of paths, GiB",
    "paths_hours": "hours of paths for all users",
    "epoch_hours": "hours an epoch of LRURec, sampled softmax",
    "lrurec_gib": "weights, gradients and moments of LRURec, GiB",
    "scoring_hours": "hours to score all items for all users",
}
#: Figures of a ranker without a language model.
SERVING = {
    "p50_ms": "a warm explained ranking, median, ms",
    "p99_ms": "the same, 99 of 100 users, ms",
    "users_a_second": "users a second in bulk, explained and written",
    "history": "items of the median history",
    "load": "load a saved ranker, imports done, seconds",
    "cold": "from nothing to a loaded ranker, seconds",
    "first": "its first ranking, seconds",
}
#: Figures of imports, in a new process.
IMPORTS = {
    "import_package": "`import lkgrag`",
    "import_ranker": "`from lkgrag import Ranker`",
    "import_torch": "`import torch, torch_geometric`, which a loaded ranker needs",
}
#: Figures of LRURec.
LRU = {
    "examples_a_second": "examples a second, training",
    "users_a_second": "users a second, ranking",
    "seconds_all_users": "seconds for all users",
    "peak_mib": "peak memory, MiB",
}


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many significant digits; a dash for None."""
    if value is None:
        return "–"
    if value >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, figures aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paths(result: dict[str, Any]) -> str:
    """Prompts a second by data set, ours and others."""
    sets = result["sets"]
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


def ladder(result: dict[str, Any]) -> str:
    """Inference, a change a row."""
    rows = [
        [
            name,
            number(r["tokens_a_prompt"]),
            number(r["prompts_a_second"]),
            number(r["per_cent_of_floor"]),
            number(r.get("peak_mib")),
        ]
        for name, r in result["inference"].items()
    ]
    head = [
        "inference",
        "tokens a prompt",
        "prompts a second",
        "% of the floor",
        "peak memory, MiB",
    ]
    return table(head, rows)


def training(result: dict[str, Any]) -> str:
    """Training, stock and ours."""
    what = ("examples_a_second", "per_cent_of_floor", "peak_mib")
    rows = [
        [name, *(number(result["training"][name].get(key)) for key in what)]
        for name in ("stock", "ours")
    ]
    return table(["training", "examples a second", "% of the floor", "peak memory, MiB"], rows)


def whole(result: dict[str, Any]) -> str:
    """From an id to an explained ranking."""
    rows = [[f"cold: {k}", number(v)] for k, v in result["cold"].items()]
    rows += [[f"warm: {k}", number(v)] for k, v in result["warm"].items()]
    return table(["one user", "seconds"], [["`--help`", number(result["help"])], *rows])


def serving(result: dict[str, Any]) -> str:
    """Rankings without a language model, and imports."""
    sets = result["sets"]
    ranked = by_column("no language model, one core", list(sets), list(sets.values()), SERVING)
    return f"{ranked}\n\n{by_column('in a new process', ['seconds'], [result], IMPORTS)}"


def targets(rows: list[dict[str, Any]]) -> str:
    """The targets, and whether each was met."""
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


def lru(result: dict[str, Any]) -> str:
    """LRURec, ours and the published algorithm."""
    parts = {
        "ours": "lkgrag",
        "published_same": "published algorithm, our sizes",
        "published_wide": "published algorithm, its sizes",
    }
    sets = result["sets"]
    rows = [
        [f"{name}: {label}", *(number(sets[s][part][key]) for s in sets)]
        for key, label in LRU.items()
        for part, name in parts.items()
    ]
    return table(["LRURec, one process", *sets], rows)


def by_column(
    head: str, names: list[str], columns: list[dict[str, Any]], rows: dict[str, str]
) -> str:
    """A table with a row a figure and a column a result.

    Args:
        head: of the first column.
        names: of the others.
        columns: the results.
        rows: by the figures' keys, their labels; what no column has is left out.
    """
    measured = {k: label for k, label in rows.items() if any(k in column for column in columns)}
    return table(
        [head, *names],
        [[label, *(number(column[key]) for column in columns)] for key, label in measured.items()],
    )


def graph(result: dict[str, Any]) -> str:
    """Graphs of several scales."""
    scales = result["scales"]
    return by_column("times Amazon Beauty", list(scales), list(scales.values()), GRAPH)


def many(result: dict[str, Any]) -> str:
    """LRURec by scale."""
    scales = result["lrurec"]
    return by_column("LRURec, times Amazon Beauty", list(scales), list(scales.values()), MANY)


def calculated(result: dict[str, Any]) -> str:
    """Sizes that were not measured."""
    slope = slopes(result)
    columns = [projection(slope, *size) for size in SIZES]
    names = [f"{c['users']:,.0f} users, {c['edges']:,.0f} edges" for c in columns]
    return by_column("calculated, one core", names, columns, CALCULATED)


def job(result: dict[str, Any]) -> str:
    """The main job by stage, a column a record."""
    names = {
        "default-ml-100k": "AVX-512-BF16",
        "default-ml-100k-avx2": "AVX2 only",
        "quick-ml-100k": "`preset=quick`",
    }
    records = [(head, result[name]) for name, head in names.items() if name in result]
    stages = {
        "kg": "graph",
        "retrieval": "stage one, with its cross-fits",
        "scorer": "path scorer",
        "ranker": "language model: probe and training",
        "evaluation": "ranking of both splits",
        "total": "all, with explanations and report",
    }
    rows = [
        [what, *(number(record["seconds"].get(stage)) for _, record in records)]
        for stage, what in stages.items()
    ]
    # A run that did not train a language model read no prompt.
    read = [record if record["seconds"].get("ranker") else {} for _, record in records]
    budgets = [record.get("budget") or {} for record in read]
    rows.append(["prompts of training", *(number(b.get("training")) for b in budgets)])
    rows.append(["prompts ranked", *(number(record.get("prompts")) for record in read)])
    return table(["seconds", *(head for head, _ in records)], rows)


def large(result: dict[str, Any]) -> str:
    """A large model in 4 bits."""
    rows = []
    for readout in READOUTS:
        r = result[readout]
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
    gpu, torch = result["hardware"]["gpus"][0], result["versions"]["torch"]
    made = f"{gpu}, {result['date']}, torch {torch}, {result['weights'] / 1e9:.2f} billion weights: {result['note']}."
    return f"{table(head, rows)}\n\n{made}"


def pages(name: str, result: dict[str, Any]) -> dict[str, str]:
    """The tables of the parts that a result has, by their markers."""
    if name == "large":
        return {"large": large(result)}
    if name == "speed":
        makers: dict[str, tuple[str, Callable[[Any], str]]] = {
            "paths": ("paths", paths),
            "lru": ("lru", lru),
            "inference": ("lm", ladder),
            "training": ("lm", training),
            "inference-avx2": ("lm-avx2", ladder),
            "training-avx2": ("lm-avx2", training),
            "whole": ("whole", whole),
            "serving": ("serving", serving),
            "job": ("job", job),
        }
    else:
        makers = {"graph": ("graph", graph), "many": ("users", many)}
    out = {marker: make(result[part]) for marker, (part, make) in makers.items() if part in result}
    if name == "scale":
        out["calculated"] = calculated(result)
    return {**out, "targets": targets(result["targets"])}


def main() -> int:
    """Entry point."""
    status = 0
    for name, page in PAGES.items():
        result = stored(name)
        if result is None:
            line = f"python -m benchmarks.run {name}"
            print(f"no benchmarks/results/{name}.json: run {line}", file=sys.stderr)
            status = 2
            continue
        for marker, text in pages(name, result).items():
            put(DOCS / page, marker, text)
    return status


if __name__ == "__main__":
    sys.exit(main())
