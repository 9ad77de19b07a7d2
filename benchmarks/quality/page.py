"""Put the stored quality results into ``docs/quality.md`` and README, as tables and pictures.

Command: ``python -m benchmarks.quality.page``.
"""

from __future__ import annotations

from typing import Any

from benchmarks.common import stored
from benchmarks.quality.costs import costs, made_on
from benchmarks.quality.plots import overview, plot
from benchmarks.quality.rows import rows_of
from benchmarks.quality.table import MAIN
from benchmarks.quality.words import TITLES, WORDS
from benchmarks.record import probability, put
from benchmarks.tables import DOCS, table, targets
from lkgrag.evaluation import HEADLINE, metric_label
from lkgrag.evaluation.tables import four_digits

LABEL = metric_label(HEADLINE)
#: Metrics of the second table; the first has the headline metric and Recall@10.
COLUMNS = ("mrr", "ndcg@5", "ndcg@20", "recall@1", "recall@5", "recall@20")
#: NDCG@10 and Recall@10 over all users, as published; ``docs/published.md`` says what differs.
PUBLISHED: dict[str, dict[str, str]] = {
    "ml-latest-small": {"lrurec": ".0705 / .1426", "llamarec": ".0759 / .1524"},
    "amazon-beauty": {"lrurec": ".0533 / .0916", "llamarec": ".0554 / .0971"},
    "amazon-beauty-clean": {"lrurec": ".0533 / .0916", "llamarec": ".0554 / .0971"},
}


def section(data: str, result: dict[str, Any]) -> str:
    """Everything about one data set, in Markdown."""
    parts = [
        f"## {TITLES.get(data, data)}",
        main_table(data, result),
        samples(result),
        without(result),
        other_metrics(result),
        costs(result["runs"]),
        *power(data, result),
        order_of_ids(data),
        targets(result["targets"]),
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


def main_table(data: str, result: dict[str, Any]) -> str:
    """The headline metric of every row with its spread, and what the main row gains over it."""
    published = PUBLISHED.get(data, {})
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
                four_digits(line["mean"]["recall@10"]),
                interval(line["minus"]) if line.get("minus") else "",
                published.get(line["row"], ""),
            ]
        )
    head = ["row", "seeds × events", f"{LABEL} ± spread", "Recall@10"]
    head += [f"{result['main']} − row, {LABEL}", "published N@10 / R@10"]
    if not published:
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(head, rows)


def other_metrics(result: dict[str, Any]) -> str:
    """The other metrics of every row, and the headline metric where the target is a candidate."""
    rows = []
    for line in result["rows"]:
        means = [four_digits(line["mean"][metric]) for metric in COLUMNS]
        rows.append([named(line["row"]), *means, four_digits(line["retrieved"][HEADLINE])])
    return table(["row", *map(metric_label, COLUMNS), f"{LABEL}, retrieved"], rows)


def power(data: str, result: dict[str, Any]) -> list[str]:
    """The smallest difference that would be seen, what the paths in words are worth, and the picture."""
    lines = by_row(result)
    detectable = (lines.get("retriever", {}).get("minus") or {}).get("detectable")
    if detectable is None:
        return []
    parts = [
        f"The smallest difference to the retriever that this would show with probability .8: "
        f"{four_digits(detectable)} {LABEL}. Targets are among the candidates for "
        f"{lines['retriever']['candidates']:.1%} of the events."
    ]
    if result.get("uses_paths"):
        fused = (lines.get("lkgrag-shuffled") or {}).get("minus") or {}
        fused = fused.get("shared", fused)
        parts.append(
            f"What another candidate's paths in the prompt, in training too, cost: the LM alone, {LABEL} where "
            f"the target is a candidate, {interval(result['uses_paths'])}; the fused ranking, all users, "
            f"{interval(fused)}, since scorer and prior decide it."
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
    """The rows that are not made on a data set."""
    settings = result["settings"]
    chosen = rows_of(settings, data)
    names = [
        named(row)
        for row, options in settings["rows"].items()
        if options.get("of", row) in chosen and row not in by_row(result)
    ]
    return f"Not made here: {'; '.join(names)}." if names else ""


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
        "**These files have no times, only each user's order.** Ids rise from one item of a user to the next in "
        f"{share['pairs']:.0%} of the cases (by chance 50 %), over the last three items for "
        f"{share['last_three']:.0%} of the users (17 %): what was bought on one day stands in the order of the ids, as "
        "it does in the published evaluations of this data set, and no other order can be tried. So the next item "
        "is often the next id of one basket. Where the test item's id is above that of the item before it, "
        f"{result['main']} gains {told['above']} over the fused retriever; where it is below, {told['below']} "
        "(`python -m benchmarks.run order`). How much of the first is baskets, which paths know well, and would hold "
        "for a later day as well, this file cannot tell."
    )


def interval(gap: dict[str, float]) -> str:
    """A difference with its 95 % interval and p."""
    return f"{gap['mean']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}], {probability(gap['p'])}"


def headline(results: dict[str, dict[str, Any]]) -> str:
    """README's table: a line a data set."""
    rows = []
    for data, result in results.items():
        lines = by_row(result)
        if MAIN not in lines:
            continue
        minus = {name: line.get("minus") for name, line in lines.items()}
        rows.append(
            [
                TITLES[data],
                str(lines[MAIN]["seeds"]),
                # Of the seeds that lkgrag was made with.
                *(four_digits((minus.get(n) or {}).get("other")) for n in ("lrurec", "retriever")),
                four_digits(lines[MAIN]["mean"][HEADLINE]),
                _gain(lines.get("scorer", {}).get("over")),
                *(
                    _gain(minus.get(n))
                    for n in ("retriever", "llamarec+fusion", "reference+fusion")
                ),
                PUBLISHED.get(data, {}).get("llamarec", "").split(" ")[0],
            ]
        )
    head = [
        "test",
        "seeds of lkgrag",
        "LRURec",
        "fused retriever",
        "lkgrag",
        "paths, no LM, over the retriever",
    ]
    gains = [
        "lkgrag over the retriever",
        "over LlamaRec + fusion",
        "over the published method + fusion",
    ]
    return table([*head, *gains, "LlamaRec-7B, as published"], rows)


def _gain(over: dict[str, float] | None) -> str:
    """A gain in per cent, with its p; a dash where it was not measured."""
    return f"{over['per_cent']:+.1f} %<br>{probability(over['p'])}" if over else "–"


def main() -> int:
    """Entry point: every data set that has a result."""
    files = {data: stored(f"quality-{data}") for data in TITLES}
    results = {data: result for data, result in files.items() if result is not None}
    for data, result in results.items():
        plot(data, result, DOCS / "_static" / f"quality-{data}.svg")
    overview(results, DOCS / "_static" / "quality.svg")
    head = headline(results)
    put(DOCS.parent / "README.md", "quality", head)
    put(DOCS / "quality.md", "headline", head)
    sections = [section(data, result) for data, result in results.items()]
    put(DOCS / "quality.md", "quality", "\n\n".join(sections))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
