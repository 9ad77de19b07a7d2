"""Scale: graphs of up to 100 times Amazon Beauty's size, and many users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.scale import graph, remote, users
from benchmarks.targets import tell

if TYPE_CHECKING:
    import argparse

PARTS = ("graph", "users", "remote")


def scale(options: argparse.Namespace) -> int:
    """Measure the parts that are asked for; returns the exit status.

    Args:
        options: of the command line: ``only``, ``quick`` and ``seed``.
    """
    parts = options.only or PARTS
    result: dict[str, Any] = {}
    # The quickest first: what fails should fail soon.
    if "remote" in parts:
        result["remote"] = remote.measure(1 if options.quick else 10, options.quick, options.seed)
    if "graph" in parts:
        scales = [1] if options.quick else [1, 10, 100]
        result["graph"] = graph.measure(scales, options.quick, options.seed)
    if "users" in parts:
        result["users"] = users.measure(
            [1] if options.quick else [1, 10], options.quick, options.seed
        )
    tell("C", "scale", "python -m benchmarks.run scale", PARTS, result, options)
    return 0
