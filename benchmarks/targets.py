"""A suite's values beside its targets: shown, and stored with the parts that were not measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.common import judge, save, say, stored
from lkgrag.run.provenance import today

if TYPE_CHECKING:
    import argparse


def tell(
    prefix: str,
    name: str,
    line: str,
    parts: tuple[str, ...],
    result: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Compare the values with their targets, print them, and store the result; a part goes into the stored one.

    Args:
        prefix: of the targets' names.
        name: of the suite.
        line: the command.
        parts: all parts of the suite.
        result: by part; ``values`` in a part holds those that have targets.
        options: of the command line.
    """
    values = {k: v for part in result.values() for k, v in part.pop("values", {}).items()}
    before = stored(name)
    if options.only and before is not None and not options.quick:
        # Parts that were measured now, beside those that were not.
        old = {row["name"]: row["value"] for row in before["targets"]}
        values = {**old, **values}
        old_parts = {k: v for k, v in before.items() if isinstance(v, dict) and k in parts}
        result.update({**old_parts, **result})
    old_dates = (before or {}).get("measured", {})
    result["measured"] = {p: old_dates.get(p, today()) for p in parts if p in result}
    for part in options.only or parts:
        result["measured"][part] = today()
    result["targets"] = judge(prefix, {} if options.quick else values)
    for row in result["targets"]:
        value = "not measured" if row["value"] is None else f"{row['value']:,.3g}"
        print(f"{row['name']:<12} {value:>14} of {row['target']:<8g} {'met' if row['met'] else ''}")
    if not options.quick:
        say(f"wrote {save(name, line, options.seed, result)}")
