"""Cold start: figures by the length of the history and by the popularity of the true item."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.evaluation.metrics import HEADLINE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.evaluation.protocol import SplitResult

#: Largest value of each group except the last, which has no end.
HISTORY = (5, 10, 20, 50, 100)
POPULARITY = (0, 5, 20, 50, 100)
#: Metrics that each group is given.
GROUP_METRICS = (HEADLINE, "recall@10")


def cold_start(result: SplitResult, popularity: NDArray[np.int64]) -> dict[str, Any]:
    """The figures of every system by group of events, without empty groups.

    Args:
        result: the ranks on a split; a missed target counts 0.
        popularity: int64 ``[num_items]``, training interactions of each item.

    Returns:
        ``split``; and for ``history`` (items before the prediction) and ``popularity`` (training
        interactions of the true item) a list of groups, each with its name (``6-10``), the number of
        ``events`` and ``systems``: ``{system: {metric: mean}}``, NaN for a system that ranked none of them.
    """
    return {
        "split": result.split,
        "history": _groups(result, result.position, HISTORY),
        "popularity": _groups(result, popularity[result.target], POPULARITY),
    }


def _groups(
    result: SplitResult, value: NDArray[np.int64], ends: tuple[int, ...]
) -> list[dict[str, Any]]:
    gains = {s: {m: result.gains(s, m) for m in GROUP_METRICS} for s in result.systems}
    covered = {s: result.covered(s) for s in result.systems}
    group = np.searchsorted(ends, value, "left")
    out = []
    for number in range(len(ends) + 1):
        inside = group == number
        if not inside.any():
            continue
        systems = {}
        for system, values in gains.items():
            keep = inside & covered[system]
            systems[system] = {
                name: float(v[keep].mean()) if keep.any() else math.nan
                for name, v in values.items()
            }
        out.append({"group": _name(number, ends), "events": int(inside.sum()), "systems": systems})
    return out


def _name(number: int, ends: tuple[int, ...]) -> str:
    if number == len(ends):
        return f"over {ends[-1]}"
    low = ends[number - 1] + 1 if number else min(1, ends[0])
    return str(low) if low == ends[number] else f"{low}-{ends[number]}"
