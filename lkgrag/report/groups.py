"""Groups of users that a report compares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.evaluation.user_groups import thirds

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
    out = {"all": np.ones(len(prompts), bool), **thirds("history", prompts["history"])}
    for column in [c for c in prompts.columns if c.startswith("user_")]:
        out.update(_attribute(column.removeprefix("user_"), prompts[column]))
    return pd.DataFrame(dict(list(out.items())[:MOST_GROUPS]))


def _attribute(name: str, values: pd.Series) -> dict[str, NDArray[np.bool_]]:
    count = values.value_counts()
    if len(count) < 2 or len(count) > len(values) / 2:
        return {}
    if len(count) > MOST_VALUES and pd.to_numeric(values.dropna(), errors="coerce").notna().all():
        return thirds(name, values)
    top = count.index[:MOST_VALUES]
    if count[top].sum() < COVERED * len(values):
        return {}
    shown = sorted(top) if len(count) <= MOST_VALUES else top
    return {f"{name} {value}": (values == value).to_numpy() for value in shown}
