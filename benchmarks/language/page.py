"""Put the figures of ``results/language.json`` into docs/text.md: ``python -m benchmarks.language.page``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.common import ROOT, put, stored
from benchmarks.language.suite import COMPARED, NAME

PAGE = ROOT / "docs" / "text.md"
#: Data sets and rows as the page names them.
SETS = {
    "amazon-beauty-clean": "Amazon Beauty without the suspect relations",
    "ml-100k-rolling": "MovieLens 100K, rolling",
    "ml-latest-small-rolling": "MovieLens latest-small, rolling",
}
ROWS = {
    "without": "without text",
    "words": "text (the default)",
    "words+minilm": "text, with MiniLM's vectors",
    "permuted": "control: permuted texts",
    "permuted+minilm": "control: permuted texts, with MiniLM's vectors",
    "words+lsa": "control: text, with LSA of the words",
    "words+projection": "control: text, with a random projection of the words",
    "without-users": "without text, whole-user folds",
}


def figures(result: dict[str, Any]) -> str:
    """NDCG@10 of every row that ran, one table for all data sets; the mean over its seeds."""
    lines = []
    for split, where in (("val", "validation"), ("test", "test")):
        for data, found in result.get(split, {}).items():
            lines += [
                f"| {SETS[data]}, {where} | seeds | fused retriever | ranker |",
                "| --- | ---: | ---: | ---: |",
            ]
            for row in (r for r in ROWS if r in found["rows"]):
                values = found["rows"][row]
                cells = " | ".join(_short(float(np.mean(values[s]))) for s in COMPARED)
                lines.append(f"| {ROWS[row]} | {len(values['seeds'])} | {cells} |")
            lines.append("")
    return "\n".join(lines).rstrip("\n")


def differences(result: dict[str, Any]) -> str:
    """What each row's ranker gains over another's, in per cent, with p and what could have shown."""
    lines = [
        "| ranker | over | data | gain | p | users | would have shown |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for split, where in (("val", "validation"), ("test", "test")):
        for data, found in result.get(split, {}).items():
            lines += [
                f"| {ROWS[gap['row']]} | {ROWS[gap['over']]} | {SETS[data]}, {where} | "
                f"{gap['per_cent']:+.1f} % | {_p(gap['p'])} | {gap['users']:,} | {gap['detectable']:.1f} % |"
                for gap in found["differences"]
                if gap["system"] == "ranker"
            ]
    return "\n".join(lines)


def new_items(result: dict[str, Any]) -> str:
    """How well each kind of evidence ranks new items, and what is added to all of them without an encoder."""
    lines = ["| evidence | NDCG@10 | over the base |", "| --- | ---: | ---: |"]
    for row in [*result["new-items"]["rows"], *result.get("reranker", {}).get("rows", [])]:
        gain = "" if row.get("gain") is None else _share(row)
        lines.append(f"| {row['name']} | {_short(row['ndcg@10'])} | {gain} |")
    return "\n".join(lines)


def mixed(result: dict[str, Any]) -> str:
    """What a constant for new items does to new and to known targets, in one ranking of the catalogue."""
    fusion = result["mixed"]["fusion"]
    lines = [
        "| `retrieval.new_items` | new targets, NDCG@10 | known targets, NDCG@10 | over 0 |",
        "| --- | ---: | ---: | ---: |",
    ]
    known = {row["name"]: row for row in fusion["known"]["catalogue"]}
    for row in fusion["new"]["catalogue"]:
        name, _, constant = row["name"].partition(", new_items=")
        if name != "today":
            continue
        other = known[row["name"]]
        gain = "" if other.get("gain") is None else _share(other)
        value = _short(row["ndcg@10"])
        lines.append(f"| {constant or 0} | {value} | {_short(other['ndcg@10'])} | {gain} |")
    return "\n".join(lines)


def relations(result: dict[str, Any]) -> str:
    """How each unseen relation's paths are rated, in lists that hold their target."""
    lines = [
        "| data | relation | ignored | mean embedding | by its words | trained | words over mean |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for part in (p for p in result if p.startswith("relations-")):
        for name, row in result[part]["relations"].items():
            values = " | ".join(_short(v) for v in row["ndcg@10"].values())
            mean = row["ndcg@10"]["mean"]
            gap = f"{100 * row['gap'] / mean:+.2f} % ± {100 * row['error'] / mean:.2f}"
            data = part.removeprefix("relations-")
            lines.append(f"| {data} | `{name}` | {values} | {gap} |")
    return "\n".join(lines)


def transfer(result: dict[str, Any]) -> str:
    """How well a data set is ranked by what was trained on the two others."""
    sets = result["transfer"]
    lines = [
        "| what ranks | " + " | ".join(sets) + " |",
        "| --- |" + " ---: |" * len(sets),
    ]
    by_row = {
        row["name"]: [next(r for r in s["rows"] if r["name"] == row["name"]) for s in sets.values()]
        for row in next(iter(sets.values()))["rows"]
    }
    for name, rows in by_row.items():
        cells = [
            _short(row["ndcg@10"]) + ("" if row.get("gain") is None else f" ({_share(row)})")
            for row in rows
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(row: dict[str, float]) -> str:
    return f"{100 * row['gain']:+.1f} % ± {100 * row['error']:.1f}"


def targets(result: dict[str, Any]) -> str:
    """The targets that were measured, met or missed."""
    lines = ["| target | measured | aim |", "| --- | ---: | ---: |"]
    for row in result["targets"]:
        if row["value"] is None:
            continue
        value = f"{row['value']:.3g}"
        shown = value if row["met"] else f"**missed: {value}**"
        lines.append(f"| {row['name']}: {row['what']} | {shown} | {row['target']:g} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def main() -> int:
    """Write the tables; returns the exit status, 1 without a stored result."""
    result = stored(NAME)
    if result is None:
        print("there is no results/language.json; run `python -m benchmarks.run language`")
        return 1
    for block, text in (
        ("figures", figures(result)),
        ("differences", differences(result)),
        ("targets", targets(result)),
    ):
        put(PAGE, block, text)
    cold = stored("cold")
    if cold is not None:
        for block, write in (
            ("new-items", new_items),
            ("mixed", mixed),
            ("relations", relations),
            ("transfer", transfer),
        ):
            put(PAGE, block, write(cold))
    return 0


if __name__ == "__main__":
    sys.exit(main())
