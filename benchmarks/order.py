"""Order: does a file hold interactions of one time in the order of the items' ids, and who gains by it?

Amazon's ratings are dated by the day, and many files hold what a user bought on one day in the order of the
ids. Then "the next item" is often the next id of one basket. The gain over the fused retriever is given for
test items whose id is above that of the item before them, and for those whose id is below.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.by_data import stored_sets
from benchmarks.common import data_roots, save, say
from benchmarks.quality.results import path_of
from benchmarks.quality.rows import files_of, overrides, read_settings
from benchmarks.quality.table import difference, lines_of, main_line, of_split
from lkgrag.config.loading import load_config
from lkgrag.run.stages import load_dataset
from lkgrag.utils.files import read_json, read_parquet

if TYPE_CHECKING:
    import argparse

    from lkgrag.data import Interactions


def measure(roots: dict[str, str]) -> dict[str, Any]:
    """Measure every data set that has a stored quality result and whose files are at hand.

    Args:
        roots: folders of the data sets that are at hand, by name.

    Returns:
        By data set ``rising`` (:func:`rising`), ``main`` (the row that is compared) and ``groups``: of
        ``above`` and ``below`` the difference of that row and the fused retriever.
    """
    settings, out = read_settings(), {}
    for data in settings["data"]:
        files = files_of(data)
        if not path_of(data).exists() or (files != "ml-100k" and files not in roots):
            say(f"{data}: no stored result, or no files at hand; left out")
            continue
        row = next(iter(settings["rows"]))
        config = load_config(overrides(settings, data, row, 0, roots, Path()))
        x = load_dataset(config).interactions
        table = of_split(read_parquet(path_of(data).with_suffix(".parquet")), "test")
        lines = lines_of(table, read_json(path_of(data))["settings"])
        main = main_line(lines)
        if main is None:
            continue
        retriever = next(line for line in lines if line.name == "retriever")
        above = _is_above(x, table)
        groups = {
            name: difference(table[part], main, retriever)
            for name, part in (("above", above), ("below", ~above))
        }
        out[data] = {"rising": rising(x), "main": main.name, "groups": groups}
    return out


def rising(x: Interactions) -> dict[str, Any]:
    """How often ids rise from one item of a user to the next.

    Returns:
        Shares ``pairs`` (of all neighbours), ``last_two`` and ``last_three`` (of users; by chance 1/2 and
        1/6), and ``positions``: whether the times are mere positions.
    """
    place = _places(x)[x.item]
    up = place[1:] > place[:-1]
    inside = np.ones(len(up), bool)
    inside[x.indptr[1:-1] - 1] = False
    end = x.indptr[1:][np.diff(x.indptr) >= 3]
    return {
        "pairs": float(up[inside].mean()),
        "last_two": float(up[end - 2].mean()),
        "last_three": float((up[end - 2] & up[end - 3]).mean()),
        "positions": not x.dated,
    }


def _places(x: Interactions) -> np.ndarray:
    """The place of each item in the order of the ids, as numbers if all are, else as words; int64 ``[I]``."""
    ids = list(x.item_ids)
    numbers = all(i.isdecimal() for i in ids)
    order = sorted(range(len(ids)), key=lambda i: int(ids[i]) if numbers else ids[i])
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    return place


def _is_above(x: Interactions, table: pd.DataFrame) -> pd.Series:
    """Whether the target's id is above that of the item before it, for each line."""
    place = _places(x)
    user = pd.Index(x.user_ids).get_indexer(pd.Index(table["user"].astype(str)))
    at = x.indptr[user] + table["position"].to_numpy()
    return pd.Series(place[x.item[at]] > place[x.item[at - 1]], table.index)


def order(options: argparse.Namespace) -> int:
    """Measure, store and show; returns the exit status.

    Args:
        options: of the command line: ``quick``.
    """
    sets = measure(data_roots())
    for name, result in sets.items():
        print(f"{name}: ids rise in {result['rising']['pairs']:.1%} of neighbours")
    if not options.quick:
        # Data sets that are not at hand keep their stored result.
        sets = {**stored_sets("order"), **sets}
        say(f"wrote {save('order', 'python -m benchmarks.run order', 0, {'sets': sets})}")
    return 0
