"""Groups of users that a report compares."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Values of an attribute that make groups, the most frequent ones.
MOST_VALUES = 6
#: Groups in all.
MOST_GROUPS = 18
#: Share of the prompts that an attribute's groups must cover to be worth a look.
COVERED = 0.5


def groups(prompts: pd.DataFrame) -> pd.DataFrame:
    """Groups of users: by length of the history, and by each attribute that tells groups apart.

    An attribute with many numbers (an age) is cut into thirds; any other gives a group for each of its most
    frequent values. An attribute that differs for nearly everybody (a postcode) makes no groups.

    Args:
        prompts: the table :data:`~lkgrag.utils.layout.PROMPTS`.

    Returns:
        Bool, one row a prompt, one column a group, in the order of a figure.
    """
    out = {"all": np.ones(len(prompts), bool), **_thirds("history", prompts["history"])}
    for column in [c for c in prompts.columns if c.startswith("user_")]:
        out.update(_attribute(column.removeprefix("user_"), prompts[column]))
    return pd.DataFrame(dict(list(out.items())[:MOST_GROUPS]))


def _thirds(name: str, values: pd.Series) -> dict[str, NDArray[np.bool_]]:
    """Thirds of the users by a number, named by the least and the greatest in each."""
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return {}
    out = {}
    edges = np.unique(np.quantile(finite, [0, 1 / 3, 2 / 3, 1]))
    for low, high in pairwise(edges):
        below = numbers <= high if high == edges[-1] else numbers < high
        inside = (numbers >= low) & below
        if inside.any():
            least, most = numbers[inside].min(), numbers[inside].max()
            span = f"{least:g}" if least == most else f"{least:g}–{most:g}"
            out[f"{name} {span}"] = inside
    return out


def _attribute(name: str, values: pd.Series) -> dict[str, NDArray[np.bool_]]:
    count = values.value_counts()
    if len(count) < 2 or len(count) > len(values) / 2:
        return {}
    if len(count) > MOST_VALUES and pd.to_numeric(values.dropna(), errors="coerce").notna().all():
        return _thirds(name, values)
    top = count.index[:MOST_VALUES]
    if count[top].sum() < COVERED * len(values):
        return {}
    shown = sorted(top) if len(count) <= MOST_VALUES else top
    return {f"{name} {value}": (values == value).to_numpy() for value in shown}
