"""Memory of a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any


def alone(part: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Call in a fresh process; ``peak_gib`` in the result is the most memory that it had, unless the part says more."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, Any] = pool.apply(_metered, (part, args))
    return found


def _metered(part: Callable[..., dict[str, Any]], args: tuple[Any, ...]) -> dict[str, Any]:
    found = part(*args)
    return {**found, "peak_gib": max(peak_gib(), found.get("peak_gib", 0.0))}


def peak_gib() -> float:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def anonymous_mib() -> float:
    """Memory of this process that no file stands behind, so that the system cannot just drop it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return float(line.split()[1]) / 1024
    return float("nan")
