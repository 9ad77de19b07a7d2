"""Put the quality results into ``docs/quality.md`` and README: tables and pictures from the stored JSON."""

from __future__ import annotations

from typing import Any

from benchmarks.common import stored
from benchmarks.quality.plots import overview, plot
from benchmarks.quality.rows import rows_of
from benchmarks.quality.table import MAIN
from benchmarks.quality.words import TITLES, WORDS
from benchmarks.record import figure, probability, put
from benchmarks.tables import DOCS, table, targets
from lkgrag.evaluation import HEADLINE, metric_label

LABEL = metric_label(HEADLINE)
#: Of the second table; the first has the headline metric and Recall@10.
COLUMNS = ("mrr", "ndcg@5", "ndcg@20", "recall@1", "recall@5", "recall@20")
#: NDCG@10 and Recall@10 over all users, as published; ``docs/published.md`` says what differs.
PUBLISHED: dict[str, dict[str, str]] = {
    "ml-latest-small": {"lrurec": ".0705 / .1426", "llamarec": ".0759 / .1524"},
    "amazon-beauty": {"lrurec": ".0533 / .0916", "llamarec": ".0554 / .0971"},
    "amazon-beauty-clean": {"lrurec": ".0533 / .0916", "llamarec": ".0554 / .0971"},
}


def section(data: str, found: dict[str, Any]) -> str:
    """Everything of one data set."""
    known = PUBLISHED.get(data, {})
    lines = {line["row"]: line for line in found["rows"]}
    rows, every = [], []
    for line in found["rows"]:
        name, mean = line["row"], line["mean"]
        minus = line.get("minus")
        gain = ""
        if minus:
            gain = interval(minus)
        label = WORDS.get(name, name)
        events = f"{line['seeds']} × {line['events']:,}"
        spread = figure(mean[HEADLINE])
        # Of two seeds a deviation says nothing.
        if line["seeds"] > 2:
            spread += f" ± {figure(line['spread'][HEADLINE])}"
        rows.append([label, events, spread, figure(mean["recall@10"]), gain, known.get(name, "")])
        inside = figure(line["retrieved"][HEADLINE])
        every.append([label, *(figure(mean[c]) for c in COLUMNS), inside])
    first = ["row", "seeds × events", f"{LABEL} ± spread", "Recall@10"]
    first += [f"{found['main']} − row, {LABEL}", "published N@10 / R@10"]
    if not known:
        first, rows = first[:-1], [row[:-1] for row in rows]
    other = ["row", *map(metric_label, COLUMNS), f"{LABEL}, retrieved"]
    detectable = (lines.get("retriever", {}).get("minus") or {}).get("detectable")
    parts = [
        f"## {TITLES.get(data, data)}",
        table(first, rows),
        samples(found),
        without(found),
        table(other, every),
        costs(found["runs"]),
    ]
    if detectable is not None:
        parts.append(
            f"The smallest difference to the retriever that this would show with probability .8: "
            f"{figure(detectable)} {LABEL}. Targets are among the candidates for "
            f"{lines['retriever']['candidates']:.1%} of the events."
        )
        if found.get("uses_paths"):
            fused = (lines.get("lkgrag-shuffled") or {}).get("minus") or {}
            fused = fused.get("shared", fused)
            parts.append(
                "What another candidate's paths in the prompt, in training too, cost: the LM alone, "
                f"{LABEL} where "
                f"the target is a candidate, {interval(found['uses_paths'])}; the fused ranking, all users, "
                f"{interval(fused)}, since scorer and prior decide it."
            )
        parts.append(f"![What {found['main']} gains over each row](_static/quality-{data}.svg)")
    parts.append(order_of_ids(data))
    parts.append(targets(found["targets"]))
    parts.append(missing(data, found))
    looks = found["settings"]["looks"].get(data)
    parts.append(
        f"{made_on(found['runs'])}; `benchmarks/results/quality-{data}.json`."
        + (f" Looks at these test events in development: {looks}." if looks else "")
    )
    return "\n\n".join(part for part in parts if part)


def samples(found: dict[str, Any]) -> str:
    """Rows that ran on a sample: what the events shared with the main row say by themselves."""
    rows = []
    for line in found["rows"]:
        shared = (line.get("minus") or {}).get("shared")
        if shared:
            label = WORDS.get(line["row"], line["row"])
            gain = f"{shared['per_cent']:+.1f} %"
            rows.append([label, f"{shared['events']:,}", interval(shared), gain])
    if not rows:
        return ""
    head = ["row of a sample", "shared events"]
    return table([*head, f"{found['main']} − row on these alone, {LABEL}", "per cent"], rows)


def without(found: dict[str, Any]) -> str:
    """What the path scorer gains over itself without one part of it, no language model in either."""
    rows = [
        [
            WORDS.get(line["row"], line["row"]),
            str(len(line["part"]["seeds"])),
            interval(line["part"]),
        ]
        for line in found["rows"]
        if line.get("part")
    ]
    return table(["row", "seeds", f"{WORDS['scorer']} − row, {LABEL}"], rows) if rows else ""


def missing(data: str, found: dict[str, Any]) -> str:
    """The rows that are not made on a data set."""
    said, there = found["settings"], {line["row"] for line in found["rows"]}
    chosen = rows_of(said, data)
    names = [
        WORDS.get(name, name)
        for name, options in said["rows"].items()
        if options.get("of", name) in chosen and name not in there
    ]
    return f"Not made here: {'; '.join(names)}." if names else ""


def order_of_ids(data: str) -> str:
    """What the order of ids does to the gain over the retriever, where the times are mere positions."""
    found = (stored("order") or {"sets": {}})["sets"].get(data)
    if not found or not found["rising"]["positions"]:
        return ""
    share, groups = found["rising"], found["groups"]
    told = {
        name: f"{group['per_cent']:+.1f} % ({interval(group)}; {group['events']:,} events)"
        for name, group in groups.items()
    }
    return (
        "**These files have no times, only each user's order.** Ids rise from one item of a user to the next in "
        f"{share['pairs']:.0%} of the cases (by chance 50 %), over the last three items for "
        f"{share['last_three']:.0%} of the users (17 %): what was bought on one day stands in the order of the ids, as "
        "it does in the published evaluations of this data set, and no other order can be tried. So the next item "
        "is often the next id of one basket. Where the test item's id is above that of the item before it, "
        f"{found['main']} gains {told['above']} over the fused retriever; where it is below, {told['below']} "
        "(`python -m benchmarks.run order`). How much of the first is baskets, which paths know well, and would hold "
        "for a later day as well, this file cannot tell."
    )


def made_on(runs: dict[str, Any]) -> str:
    """When and on what the runs were made."""
    dates = sorted({run["date"] for run in runs.values()})
    machines = sorted({machine(run) for run in runs.values()})
    return f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}; {'; '.join(machines)}"


def machine(run: dict[str, Any]) -> str:
    """What a run was made on: the GPU where it used one, the processor, and PyTorch's version."""
    has = run["hardware"]
    told = f"{has['processor']}, {run['threads']} of {has['cores']} cores a run"
    if run.get("device") == "cuda":
        told = f"{chip(run)} beside {told}"
    # Older runs do not say.
    versions = run.get("versions")
    return f"{told}, torch {versions['torch']}" if versions else told


def chip(run: dict[str, Any]) -> str:
    """The GPU that a run used, or the processor."""
    has = run["hardware"]
    return str((has.get("gpus") or ["GPU"])[0] if run.get("device") == "cuda" else has["processor"])


def interval(found: dict[str, float]) -> str:
    """A difference with its 95 % interval and p."""
    return f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}], {probability(found['p'])}"


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
    """Places without the evidence; without as many paths of others and of its own that are not shown."""
    if deletion.get("fall") is None:
        return ""
    known = [deletion[n] for n in ("control", "spare") if deletion.get(n) is not None]
    return f"{deletion['fall']:.1f} ({', '.join(f'{v:.1f}' for v in known)})"


def headline(results: dict[str, dict[str, Any]]) -> str:
    """README's table: a line a data set."""
    rows = []
    for data, found in results.items():
        lines = {line["row"]: line for line in found["rows"]}
        if MAIN not in lines:
            continue
        minus = {name: line.get("minus") for name, line in lines.items()}
        rows.append(
            [
                TITLES[data],
                str(lines[MAIN]["seeds"]),
                # Of the seeds that lkgrag was made with.
                *(figure((minus.get(n) or {}).get("other")) for n in ("lrurec", "retriever")),
                figure(lines[MAIN]["mean"][HEADLINE]),
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
    """A gain in per cent, with its p; a dash where not measured."""
    return f"{over['per_cent']:+.1f} %<br>{probability(over['p'])}" if over else "–"


def main() -> int:
    """Entry point: every data set that has a result."""
    parts = []
    results = {}
    for data in TITLES:
        found = stored(f"quality-{data}")
        if found is None:
            continue
        plot(data, found, DOCS / "_static" / f"quality-{data}.svg")
        parts.append(section(data, found))
        results[data] = found
    overview(results, DOCS / "_static" / "quality.svg")
    head = headline(results)
    put(DOCS.parent / "README.md", "quality", head)
    put(DOCS / "quality.md", "headline", head)
    put(DOCS / "quality.md", "quality", "\n\n".join(parts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
