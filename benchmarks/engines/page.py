"""The tables of the pages on engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.common import ROOT, put
from benchmarks.engines import bulk, cluster, nodes, store
from benchmarks.engines.index import INDICES, PARTS

PAGE, DEVICES = ROOT / "docs" / "counting.md", ROOT / "docs" / "devices.md"
CLUSTER = ROOT / "docs" / "counting-cluster.md"
INDEX_PAGE = ROOT / "docs" / "index-retrieval.md"
NODES_PAGE = ROOT / "docs" / "nodes.md"
STORE_PAGE = ROOT / "docs" / "graph-store.md"
#: Rows of the table of sizes: words, and the value of a size.
ROWS: tuple[tuple[str, Callable[[dict[str, Any]], float | None]], ...] = (
    ("interactions", lambda row: row["interactions"]),
    ("items", lambda row: row.get("items")),
    ("edges of followed_by", lambda row: row.get("edges", {}).get("followed_by")),
    ("edges of co_rated", lambda row: row.get("edges", {}).get("co_rated")),
    ("seconds of the processor", lambda row: row["cpu_seconds"]),
    ("of these: sequences", lambda row: row.get("steps", {}).get("sequences")),
    ("of these: graph", lambda row: row.get("steps", {}).get("graph")),
    ("of these: item-item counts", lambda row: row.get("steps", {}).get("itemitem")),
    ("peak memory, GiB", lambda row: row.get("peak_gib")),
    ("peak of the disk, GiB", lambda row: row["disk_gib"]),
)


def counting_table(found: dict[str, Any]) -> str:
    """What each size takes."""
    heads = [
        f"{name}, calculated" if row.get("calculated") else name for name, row in found.items()
    ]
    lines = [f"| interactions read | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for words, value in ROWS:
        lines.append(f"| {words} | {' | '.join(_shown(value(row)) for row in found.values())} |")
    return "\n".join(lines)


def crossover_table(rows: list[dict[str, Any]]) -> str:
    """What each engine takes for the same arrays."""
    lines = ["| interactions | memory, s | GiB | duckdb, s | GiB |", "|---:|" + "---:|" * 4]
    for row in rows:
        values = [
            _shown(row[e][v]) for e in ("memory", "duckdb") for v in ("cpu_seconds", "peak_gib")
        ]
        lines.append(f"| {row['interactions']:,} | {' | '.join(values)} |")
    return "\n".join(lines)


def index_table(found: dict[str, Any]) -> str:
    """What indices find, and how fast."""
    lines = [
        "| items | systems | index | recall@20 | users a second | times all scores | build, s | MiB |",
        "|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in found.values():
        items = f"{row['items']:,}" + (", calculated" if row.get("calculated") else "")
        for part in PARTS:
            speed = _shown(row[part]["users_a_second"])
            lines.append(
                f"| {items} | {part.replace('_', ' ')} | all scores | 1 | {speed} | 1 | | |"
            )
            for kind in (k for k in INDICES if k in row[part]):
                one = row[part][kind]
                recall = f"{one['recall']:.4f}" if "recall" in one else ""
                names = ("users_a_second", "times", "build_seconds", "index_mib")
                shown = " | ".join(_shown(one[name]) for name in names)
                lines.append(
                    f"| {items} | {part.replace('_', ' ')} | {kind} | {recall} | {shown} |"
                )
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    """A number with three digits, or whole."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write_page(result: dict[str, Any]) -> None:
    """Put the stored result into the pages."""
    if result.get("counting"):
        put(PAGE, "counting", counting_table(result["counting"]))
    if result.get("cluster"):
        put(CLUSTER, "cluster", cluster.counting_table(result["cluster"]))
        put(CLUSTER, "choice", cluster.choice_table(result["cluster"]))
    if result.get("crossover"):
        put(PAGE, "crossover", crossover_table(result["crossover"]))
    if result.get("bulk"):
        put(DEVICES, "bulk", bulk.table(result["bulk"]))
    if result.get("index"):
        put(INDEX_PAGE, "index", index_table(result["index"]))
    if result.get("nodes"):
        put(NODES_PAGE, "nodes", nodes.table(result["nodes"]))
    if result.get("store"):
        put(STORE_PAGE, "store", store.table(result["store"]))
