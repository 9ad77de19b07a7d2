"""What one machine serves, and the plan to 100 million users: a calculation from measured slopes.

A slope is the growth of a cost between two sizes that were measured: the power :math:`p` of
:math:`c(n) = c_2 (n / n_2)^p`. Nothing here is measured anew; each figure names the stored result that it follows from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.common import ROOT, put, stored

PAGE = ROOT / "docs" / "many-machines.md"
#: The plan: users and edges, hours that a night has, and cores, GiB of memory and GiB of disk of a machine.
USERS, EDGES = 100_000_000, 10_000_000_000
HOURS, CORES, MEMORY, DISK = 8, 16, 128, 2_000
#: Requests of a user and day, and the busiest hour in means.
REQUESTS, PEAK = 1, 3
#: Of the machine that was measured: GiB of memory for vectors and counts, and of disk for mapped tables.
VECTORS_GIB, TABLES_GIB = 16, 100
GIB, DAY = 2**30, 86_400
#: Bytes of an item's vectors in float32 that serving keeps beside an index: LRURec's and the text's.
VECTOR_BYTES = (64 + 160) * 4


@dataclass(frozen=True)
class Slope:
    """A cost at two measured sizes.

    Attributes:
        what: the work.
        size: its unit.
        cost: what the cost is counted in.
        points: the two sizes and what they cost in all.
    """

    what: str
    size: str
    cost: str
    points: tuple[tuple[float, float], tuple[float, float]]

    @property
    def power(self) -> float:
        """Growth of the cost: 1 where twice the size costs twice as much."""
        (small, low), (large, high) = self.points
        return math.log(high / low) / math.log(large / small)

    def at(self, size: float) -> float:
        """The cost of a size, if the slope holds."""
        large, high = self.points[1]
        return high * (size / large) ** self.power


def ends(rows: dict[str, dict[str, Any]], size: str, cost: str) -> tuple[Any, Any]:
    """The two largest rows that were measured, as sizes and costs."""
    points = sorted((row[size], row[cost]) for row in rows.values() if not row.get("calculated"))
    return points[-2], points[-1]


def slopes(results: dict[str, dict[str, Any]]) -> dict[str, Slope]:
    """All slopes of stored results.

    Args:
        results: ``scale`` and ``engines``, as stored.

    Raises:
        KeyError: a part was not measured.
    """
    scales = results["scale"]["graph"]["scales"]
    engines = results["engines"]
    rows = {
        "prompt": {
            n: {"edges": r["edges"], "s": 1 / r["mapped_prompts_a_second"]}
            for n, r in scales.items()
        },
        "lrurec": {
            n: {"examples": r["examples"], "s": r["examples"] / r["examples_a_second"]}
            for n, r in results["scale"]["users"]["lrurec"].items()
        },
    }
    index = {n: r for n, r in engines["index"].items() if not r.get("calculated")}
    found = {
        n: {
            "items": r["items"],
            "exact": 1 / r["all"]["users_a_second"],
            "index": 1 / r["all"]["ivfpq"]["users_a_second"],
            "build": r["all"]["ivfpq"]["build_seconds"],
            "bytes": r["all"]["ivfpq"]["index_mib"] * 2**20,
        }
        for n, r in index.items()
    }
    return {
        "count": Slope(
            "read, order, split and count, by queries",
            "interactions",
            "core-seconds",
            ends(engines["counting"], "interactions", "cpu_seconds"),
        ),
        "disk": Slope(
            "disk while counting",
            "interactions",
            "GiB",
            ends(engines["counting"], "interactions", "disk_gib"),
        ),
        "build": Slope(
            "build the graph in memory",
            "edges",
            "core-seconds",
            ends(scales, "edges", "build_seconds"),
        ),
        "map": Slope("mapped tables of paths", "edges", "GiB", ends(scales, "edges", "map_gib")),
        "prompt": Slope(
            "paths of a prompt, from mapped tables",
            "edges",
            "core-seconds",
            ends(rows["prompt"], "edges", "s"),
        ),
        "lrurec": Slope(
            "an epoch of LRURec", "examples", "core-seconds", ends(rows["lrurec"], "examples", "s")
        ),
        "index": Slope("build an index", "items", "core-seconds", ends(found, "items", "build")),
        "bytes": Slope("an index", "items", "bytes", ends(found, "items", "bytes")),
        "exact": Slope(
            "candidates of a user, by all scores",
            "items",
            "core-seconds",
            ends(found, "items", "exact"),
        ),
        "search": Slope(
            "candidates of a user, by an index",
            "items",
            "core-seconds",
            ends(found, "items", "index"),
        ),
    }


@dataclass(frozen=True)
class Work:
    """A part of the plan.

    Attributes:
        what: the work.
        amount: how much of it, in words.
        hours: of a core, or of a GPU.
        source: stored result and the size of its measurement.
        is_gpu: whether the hours are of a GPU.
    """

    what: str
    amount: str
    hours: float
    source: str
    is_gpu: bool = False


def plan(results: dict[str, dict[str, Any]]) -> list[Work]:
    """What the plan's users and edges cost in a night, by part.

    Args:
        results: ``scale``, ``engines`` and ``large``, as stored.
    """
    slope, sizes = slopes(results), amounts(results)
    bulk = results["engines"]["bulk"]["rows"][0]["users_a_second"]
    model = results["large"]["candidates"]

    def hours(part: str, size: str, times: float = 1.0) -> float:
        return times * slope[part].at(sizes[size]) / 3600

    def largest(part: str) -> str:
        return f"{slope[part].points[1][0]:,.0f} {slope[part].size}"

    return [
        Work(
            "read, order, split and count",
            f"{sizes['interactions']:,.0f} interactions",
            hours("count", "interactions"),
            largest("count"),
        ),
        Work(
            "LRURec, 10 epochs of a tenth of the users",
            f"{sizes['examples']:,.0f} examples",
            hours("lrurec", "examples"),
            largest("lrurec"),
        ),
        Work(
            "index of the items",
            f"{sizes['items']:,.0f} items",
            hours("index", "items"),
            largest("index"),
        ),
        Work(
            "candidates of everyone, by the index",
            f"{USERS:,} users",
            hours("search", "items", USERS),
            largest("search"),
        ),
        Work(
            "paths, path scorer, words and shards of everyone",
            f"{USERS:,} users",
            USERS / bulk / 3600,
            "ml-100k's catalogue, with all its scores",
        ),
        Work(
            "a model of 7 billion weights in 4 bits for everyone",
            f"{USERS:,} prompts",
            USERS * model["ranking_seconds"] / model["ranked"] / 3600,
            f"{model['ranked']} prompts",
            is_gpu=True,
        ),
    ]


def amounts(results: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How much the plan has of everything, in the proportions of Amazon Beauty."""
    large = max(results["scale"]["graph"]["scales"].values(), key=lambda row: row["edges"])
    many = max(results["scale"]["users"]["lrurec"].values(), key=lambda row: row["examples"])
    return {
        "users": USERS,
        "edges": EDGES,
        "items": USERS * large["items"] / large["users"],
        "interactions": EDGES * large["interactions"] / large["edges"],
        # Ten epochs of a tenth of the users.
        "examples": USERS * many["examples"] / many["users"],
    }


def efficiency(results: dict[str, dict[str, Any]]) -> float:
    """The share of two workers' time that is used, measured."""
    one, two = (row["users_a_second"] for row in results["engines"]["bulk"]["rows"][:2])
    return float(two / (2 * one))


def slope_table(results: dict[str, dict[str, Any]]) -> str:
    """Every slope: two measured sizes, what they cost, and the growth."""
    lines = [
        "| work | unit | size | cost | size | cost | growth |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for slope in slopes(results).values():
        (small, low), (large, high) = slope.points
        cells = [
            slope.what,
            f"{slope.cost}, by {slope.size}",
            f"{small:,.0f}",
            _shown(low),
            f"{large:,.0f}",
            _shown(high),
            f"{slope.power:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine_table(results: dict[str, dict[str, Any]]) -> str:
    """What the machine of the measurements serves."""
    slope = slopes(results)
    bulk, load = results["engines"]["bulk"]["rows"], results["service"]["load"]
    busy = load[max(load, key=int)]
    counted = max(
        (r for r in results["engines"]["counting"].values() if not r.get("calculated")),
        key=lambda row: row["interactions"],
    )
    bytes_an_item = slope["bytes"].points[1][1] / slope["bytes"].points[1][0] + VECTOR_BYTES
    (items, search), mapped = slope["search"].points[1], slope["map"].points[1]
    whole = 1 / (search + 1 / bulk[0]["users_a_second"])
    rows = [
        (
            f"interactions counted with engine.memory={counted['limit']}",
            f"{counted['interactions']:,}",
            f"measured, peak {counted['peak_gib']:.1f} GiB",
        ),
        (
            "rankings of everyone a day, two workers, 1,349 items",
            _shown(bulk[1]["users_a_second"] * DAY),
            "calculated from a rate",
        ),
        (
            f"rankings of everyone a day, two workers, {items:,.0f} items by an index",
            _shown(2 * whole * DAY),
            "calculated",
        ),
        (
            f"requests a second, {max(load, key=int)} clients on the same machine",
            _shown(busy["requests_a_second"]),
            f"measured, p99 {busy['p99_ms']:,.0f} ms",
        ),
        (
            f"items whose vectors and index fit into {VECTORS_GIB} GiB",
            _shown(VECTORS_GIB * GIB / bytes_an_item),
            "calculated",
        ),
        (
            f"edges whose tables fit into {TABLES_GIB} GiB of disk",
            _shown(TABLES_GIB / (mapped[1] / mapped[0])),
            "calculated",
        ),
    ]
    lines = ["| two cores, 24 GiB | | |", "|---|---:|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def plan_table(results: dict[str, dict[str, Any]]) -> str:
    """The plan by part: hours, machines of a night, and the share of each."""
    works, used = plan(results), efficiency(results)
    cores = sum(w.hours for w in works if not w.is_gpu)
    lines = [
        "| work, calculated | amount | from a measurement of | core-hours | share | machines |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for work in works:
        if work.is_gpu:
            cells = [
                f"{_shown(work.hours)} of a GPU",
                "",
                f"{math.ceil(work.hours / HOURS):,} GPUs",
            ]
        else:
            machines = math.ceil(work.hours / (HOURS * CORES * used))
            cells = [_shown(work.hours), f"{100 * work.hours / cores:.0f} %", f"{machines:,}"]
        lines.append(f"| {' | '.join([work.what, work.amount, work.source, *cells])} |")
    total = math.ceil(cores / (HOURS * CORES * used))
    lines.append(f"| all without a language model | | | {_shown(cores)} | 100 % | {total:,} |")
    return "\n".join(lines)


def serving_table(results: dict[str, dict[str, Any]]) -> str:
    """Requests in the busiest hour, and what a machine must hold."""
    slope, sizes = slopes(results), amounts(results)
    load = results["service"]["load"]
    answer = load[max(load, key=int)]["cpu_ms_a_request"] / 1000
    a_second = USERS * REQUESTS * PEAK / DAY
    each = answer + slope["search"].at(sizes["items"])
    rows = [
        ("requests a second, busiest hour", _shown(a_second)),
        (
            "core-milliseconds a request, of these the index",
            f"{1000 * each:.1f}, {1000 * (each - answer):.1f}",
        ),
        (f"machines of {CORES} cores", f"{math.ceil(a_second * each / CORES):,}"),
        ("the index, GiB", _shown(slope["bytes"].at(sizes["items"]) / GIB)),
        ("vectors of LRURec and of the text, GiB", _shown(sizes["items"] * VECTOR_BYTES / GIB)),
        ("mapped tables of paths on disk, GiB", _shown(slope["map"].at(EDGES))),
    ]
    lines = ["| calculated | |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _shown(value: float) -> str:
    """A number with three digits, or whole."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


#: The tables of the page, by their markers.
TABLES: dict[str, Callable[[dict[str, dict[str, Any]]], str]] = {
    "slopes": slope_table,
    "machine": machine_table,
    "plan": plan_table,
    "serving": serving_table,
}


def write_picture() -> bool:
    """Put the tables into the page; False where a part was not measured yet."""
    results = {name: stored(name) for name in ("scale", "engines", "service", "large")}
    whole = {name: result for name, result in results.items() if result is not None}
    if len(whole) < len(results) or len(whole["engines"].get("index", {})) < 2:
        return False
    for marker, table in TABLES.items():
        put(PAGE, marker, table(whole))
    return True
