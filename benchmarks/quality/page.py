"""Put the stored quality results into README and the pages, as tables and pictures.

Command: ``python -m benchmarks.quality.page``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, interval, probability, put, stored
from benchmarks.quality import published
from benchmarks.quality.costs import costs, made_on
from benchmarks.quality.plots import overview, plot
from benchmarks.quality.rows import rows_of
from benchmarks.quality.table import MAIN
from benchmarks.quality.words import TITLES, WORDS
from benchmarks.tables import DOCS, number, table
from lkgrag.evaluation import HEADLINE, metric_label
from lkgrag.evaluation.tables import four_digits

LABEL = metric_label(HEADLINE)
#: Metrics of the rows beside the headline metric.
COLUMNS = ("recall@10", "mrr", "ndcg@5", "recall@5", "recall@1")


def section(data: str, result: dict[str, Any]) -> str:
    """Everything about one data set, in Markdown."""
    parts = [
        f"## {TITLES.get(data, data)}",
        main_table(result),
        samples(result),
        without(result),
        costs(result["runs"]),
        *power(data, result),
        order_of_ids(data),
        missing(data, result),
        source(data, result),
    ]
    return "\n\n".join(part for part in parts if part)


def by_row(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The lines of a result by their rows."""
    return {line["row"]: line for line in result["rows"]}


def named(row: str) -> str:
    """What a row is called."""
    return WORDS.get(row, row)


def main_table(result: dict[str, Any]) -> str:
    """The metrics of every row, and what the main row gains over it."""
    rows = []
    for line in result["rows"]:
        spread = four_digits(line["mean"][HEADLINE])
        # A deviation of two seeds says nothing.
        if line["seeds"] > 2:
            spread += f" ± {four_digits(line['spread'][HEADLINE])}"
        rows.append(
            [
                named(line["row"]),
                f"{line['seeds']} × {line['events']:,}",
                spread,
                interval(line["minus"]) if line.get("minus") else "",
                *(four_digits(line["mean"][metric]) for metric in COLUMNS),
                four_digits(line["retrieved"][HEADLINE]),
            ]
        )
    head = ["row", "seeds × events", f"{LABEL} ± spread", f"{result['main']} − row, {LABEL}"]
    return table([*head, *map(metric_label, COLUMNS), f"{LABEL}, retrieved"], rows)


def power(data: str, result: dict[str, Any]) -> list[str]:
    """The smallest difference that would be seen, what the paths in words are worth, and the picture."""
    lines = by_row(result)
    detectable = (lines.get("retriever", {}).get("minus") or {}).get("detectable")
    if detectable is None:
        return []
    parts = [
        f"The targets are among the candidates for {lines['retriever']['candidates']:.1%} of the events. A difference "
        f"to the retriever of {four_digits(detectable)} {LABEL} would show with probability .8."
    ]
    if result.get("uses_paths"):
        fused = (lines.get("lkgrag-shuffled") or {}).get("minus") or {}
        fused = fused.get("shared", fused)
        parts.append(
            "Prompts with another candidate's paths, in training too, cost the language model alone "
            f"{interval(result['uses_paths'])} ({LABEL}, retrieved). They cost the fused ranking, which scorer and "
            f"prior decide, {interval(fused)} (all users)."
        )
    parts.append(f"![What {result['main']} gains over each row](_static/quality-{data}.svg)")
    return parts


def source(data: str, result: dict[str, Any]) -> str:
    """Where a data set's figures come from, and how often its test was looked at."""
    looks = result["settings"]["looks"].get(data)
    told = f" Looks at these test events in development: {looks}." if looks else ""
    return f"{made_on(result['runs'])}; `benchmarks/results/quality-{data}.json`.{told}"


def samples(result: dict[str, Any]) -> str:
    """Rows that ran on a sample: the gain on the events that they share with the main row."""
    rows = []
    for line in result["rows"]:
        shared = (line.get("minus") or {}).get("shared")
        if shared:
            gain = f"{shared['per_cent']:+.1f} %"
            rows.append([named(line["row"]), f"{shared['events']:,}", interval(shared), gain])
    if not rows:
        return ""
    head = ["row of a sample", "shared events"]
    return table([*head, f"{result['main']} − row on these alone, {LABEL}", "per cent"], rows)


def without(result: dict[str, Any]) -> str:
    """What the path scorer gains over itself without one part of it, no language model in either."""
    rows = [
        [named(line["row"]), str(len(line["part"]["seeds"])), interval(line["part"])]
        for line in result["rows"]
        if line.get("part")
    ]
    return table(["row", "seeds", f"{WORDS['scorer']} − row, {LABEL}"], rows) if rows else ""


def missing(data: str, result: dict[str, Any]) -> str:
    """How many rows are not made on a data set."""
    settings = result["settings"]
    chosen = rows_of(settings, data)
    whole = [row for row, options in settings["rows"].items() if options.get("of", row) in chosen]
    number = sum(row not in by_row(result) for row in whole)
    return f"Not made here: {number} of the {len(whole)} rows." if number else ""


def order_of_ids(data: str) -> str:
    """What the order of ids does to the gain over the retriever, where the times are mere positions."""
    result = (stored("order") or {"sets": {}})["sets"].get(data)
    if not result or not result["rising"]["positions"]:
        return ""
    share = result["rising"]
    told = {
        name: f"{group['per_cent']:+.1f} % ({interval(group)}; {group['events']:,} events)"
        for name, group in result["groups"].items()
    }
    return (
        "**These files have no times, only each user's order.** Published evaluations on this copy have the "
        "same order, and no other can be tried. Ids rise from one item of a user to the next in "
        f"{share['pairs']:.0%} of the cases (by chance 50 %). They rise over the last three items of "
        f"{share['last_three']:.0%} of the users (17 %). So what was bought on one day stands in the order of the ids, "
        "and the next item is often the next id of one basket.\n\n"
        f"{result['main']} gains over the fused retriever (`python -m benchmarks.run order`):\n\n"
        f"- where the test item's id is above that of the item before it, {told['above']};\n"
        f"- where it is below, {told['below']}.\n\n"
        "Paths know baskets well. This file cannot tell how much of the first gain would hold for a later day."
    )


def headline(results: dict[str, dict[str, Any]]) -> str:
    """The table at the top of the page: a line a data set."""
    rows = []
    for data, lines in _with_main(results).items():
        minus = {name: line.get("minus") for name, line in lines.items()}
        rows.append(
            [
                TITLES[data],
                # Of the seeds that lkgrag was made with.
                *(four_digits((minus.get(n) or {}).get("other")) for n in ("lrurec", "retriever")),
                four_digits(lines[MAIN]["mean"][HEADLINE]),
                _gain(minus.get("retriever")),
                _points(minus.get("scorer")),
            ]
        )
    head = ["test", "LRURec", "fused retriever", "lkgrag", "lkgrag over the fused retriever"]
    return table([*head, "language model over scorer + prior"], rows)


def _with_main(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """The lines by their rows, of the data sets that have lkgrag's own row."""
    lines = {data: by_row(result) for data, result in results.items()}
    return {data: found for data, found in lines.items() if MAIN in found}


def targets(results: dict[str, dict[str, Any]]) -> str:
    """Every target on every data set that has it; misses are bold.

    A cell holds what was measured, after a slash the same of the shared events alone, and the aim in brackets.
    """
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for data, result in results.items():
        for target in result["targets"]:
            told = number(target["value"]) if target["value"] is not None else "not measured"
            if "shared" in target:
                told += f" / {number(target['shared'])}"
            told += f" ({number(target['target'])})"
            line = cells.setdefault((target["name"], target["what"]), {})
            line[data] = told if target["met"] else f"**missed: {told}**"
    sets = [data for data in results if any(data in line for line in cells.values())]
    rows = [
        [f"{name}: {what}", *(line.get(data, "") for data in sets)]
        for (name, what), line in sorted(cells.items())
    ]
    return table(["target", *(TITLES[data] for data in sets)], rows)


def rivals(results: dict[str, dict[str, Any]]) -> str:
    """What lkgrag gains over the published methods on the same engine."""
    names = ("llamarec+fusion", "llamarec", "reference+fusion", "reference")
    rows = []
    for data, lines in _with_main(results).items():
        gains = [(lines.get(name) or {}).get("minus") for name in names]
        if any(gains):
            rows.append([TITLES[data], *map(_gain, gains)])
    return table(["lkgrag over", *(named(name) for name in names)], rows)


def language_model(results: dict[str, dict[str, Any]]) -> str:
    """README's sentence on what the language model adds, over all tests."""
    minus = [lines["scorer"]["minus"] for lines in _with_main(results).values()]
    low, high = (_short(f([gap["mean"] for gap in minus])) for f in (min, max))
    outside = sum(gap["low"] > 0 or gap["high"] < 0 for gap in minus)
    told = f"intervals without 0: {outside}" if outside else "every interval includes 0"
    return (
        f"Over scorer and prior, the language model adds between {low} and {high} {LABEL} on "
        f"{len(minus)} tests; {told}."
    )


def _short(value: float) -> str:
    """A signed difference without its leading 0; what rounds to 0 has no sign."""
    told = f"{value:+.4f}".replace("0.", ".", 1)
    return told if float(told) else told[1:]


def _gain(over: dict[str, float] | None) -> str:
    """A gain in per cent, with its p; a dash where it was not measured."""
    return f"{over['per_cent']:+.1f} %, {probability(over['p'])}" if over else "–"


def _points(over: dict[str, float] | None) -> str:
    """A difference with its p; a dash where it was not measured."""
    return f"{_short(over['mean'])}, {probability(over['p'])}" if over else "–"


def blocks(results: dict[str, dict[str, Any]]) -> list[tuple[Path, str, str]]:
    """Everything that follows from the results: the page, the marker, and the text between its ends."""
    readme, quality, papers = ROOT / "README.md", DOCS / "quality.md", DOCS / "papers.md"
    sections = [section(data, result) for data, result in results.items()]
    return [
        (readme, "published", published.beside(results)),
        (readme, "language-model", language_model(results)),
        (quality, "headline", headline(results)),
        (quality, "targets", targets(results)),
        (quality, "rivals", rivals(results)),
        (DOCS / "quality-tables.md", "quality", "\n\n".join(sections)),
        *((papers, data, published.in_full(data, results)) for data in published.BESIDE),
    ]


def stored_results() -> dict[str, dict[str, Any]]:
    """The results of every data set that has one, by its name."""
    files = {data: stored(f"quality-{data}") for data in TITLES}
    return {data: result for data, result in files.items() if result is not None}


def main() -> int:
    """Entry point: every data set that has a result."""
    results = stored_results()
    for data, result in results.items():
        plot(data, result, DOCS / "_static" / f"quality-{data}.svg")
    overview(results, DOCS / "_static" / "quality.svg")
    for page, marker, text in blocks(results):
        put(page, marker, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
