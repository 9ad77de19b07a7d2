"""Suites whose result has a part for each data set: stored and shown on their page after each one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.common import put, save, say, stored

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from pathlib import Path


def stored_sets(name: str) -> dict[str, Any]:
    """The stored parts of a suite, by data set."""
    return dict((stored(name) or {"sets": {}})["sets"])


def keep_sets(
    name: str,
    page: Path,
    results: Iterable[dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
    options: argparse.Namespace,
    more: str = "",
) -> int:
    """Store each result as it comes, and show the last; returns the exit status.

    Args:
        name: of the suite.
        page: of the docs, with the suite's markers.
        results: all parts that there are, after each data set.
        table: what stands on the page.
        options: of the command line: ``quick`` and ``seed``.
        more: what follows the name in the command.
    """
    last = stored_sets(name)
    for last in results:
        if not options.quick:
            command = f"python -m benchmarks.run {name}{more}"
            say(f"wrote {save(name, command, options.seed, {'sets': last})}")
            put(page, name, table(last))
    print(table(last))
    return 0
