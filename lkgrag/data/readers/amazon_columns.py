"""Which column of Amazon's ratings without a header is the user: the first of 2014, the second of 2018."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from lkgrag.data.readers.amazon_metadata import NOTHING, metadata_ids
from lkgrag.errors import DataError

#: ASINs begin with B0 or are ISBNs of ten places, users begin with A (or #oc-).
ITEM = re.compile(r"B0|\d{9}[\dXx]$")
USER = re.compile(r"A|#oc-")
#: Share of ids from which on a column has a shape, and up to which it has not.
MOST, FEW = 0.9, 0.1
#: Where counts alone decide, there are this many times more users than items.
APART = 2.0


def told_apart(events: pd.DataFrame, path: Path, meta: Path, notes: list[str]) -> pd.DataFrame:
    """Exchange users and items where the file has the item first.

    Args:
        events: with the first column of the file as ``user``, the second as ``item``.
        path: of the file.
        meta: of the metadata, which may be absent.
        notes: gets what was decided, where the order is not that of 2014.

    Raises:
        DataError: neither the ids nor their numbers tell the two apart, or metadata describe none of them.
    """
    first = set(events["user"].dropna().str.strip())
    second = set(events["item"].dropna().str.strip())
    order = _by_shape(first, second)
    if order is None and meta.is_file():
        described = metadata_ids(meta, first | second)
        if not described:
            raise DataError(f"{meta}: {NOTHING}")
        order = _by_metadata(first, second, described)
    if order is None:
        order = _by_number(len(first), len(second))
    if order is None:
        raise DataError(
            f"{path}: which column holds the users? Files of 2014 begin with the user, those of 2018 with the "
            "item, and here neither ids nor counts tell; set data.columns={user: 1, item: 2}, or {user: 2, item: 1}"
        )
    if order == "user first":
        return events
    notes.append(f"{path.name}: the item stands before the user, as in the files of 2018")
    return events.rename(columns={"user": "item", "item": "user"})


def _by_shape(first: set[str], second: set[str]) -> str | None:
    items = [_share(ids, ITEM) for ids in (first, second)]
    users = [_share(ids, USER) for ids in (first, second)]
    for a, b, order in ((0, 1, "user first"), (1, 0, "item first")):
        is_item = items[b] >= MOST and items[a] <= FEW and users[b] <= FEW
        is_user = users[a] >= MOST and users[b] <= FEW and items[a] <= FEW
        if is_item or is_user:
            return order
    return None


def _share(ids: set[str], shape: re.Pattern[str]) -> float:
    return sum(bool(shape.match(text)) for text in ids) / max(len(ids), 1)


def _by_metadata(first: set[str], second: set[str], described: set[str]) -> str | None:
    """The column whose ids are described, if those of the other are not."""
    shares = [len(ids & described) / max(len(ids), 1) for ids in (first, second)]
    if shares[1] > 0 and shares[0] <= FEW * shares[1]:
        return "user first"
    if shares[0] > 0 and shares[1] <= FEW * shares[0]:
        return "item first"
    return None


def _by_number(first: int, second: int) -> str | None:
    if first >= APART * second:
        return "user first"
    return "item first" if second >= APART * first else None
