"""New interactions among known ones: in the order of time, and of a pair the one that counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.interactions import tie_key
from lkgrag.errors import DataError, short

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Interactions


@dataclass(frozen=True)
class Columns:
    """Interactions as columns, ``[N]`` each."""

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    rating: NDArray[np.float32]
    time: NDArray[np.float64]


def merge_events(
    known: Interactions,
    fresh: Columns,
    user_ids: list[str],
    item_ids: list[str],
    config: DataConfig,
) -> tuple[Columns, tuple[int, int]]:
    """All events in order, and how many known and how many new ones gave way to others of their pair."""
    number = len(known)
    user = np.concatenate([known.user, fresh.user])
    item = np.concatenate([known.item, fresh.item])
    rating = np.concatenate([known.rating, fresh.rating]).astype(np.float32)
    time = np.concatenate([known.time, fresh.time])
    # What has no time stays behind the known interaction that it followed; new ones follow all known ones.
    moment = np.concatenate([_filled(known), np.where(np.isnan(fresh.time), np.inf, fresh.time)])
    late = np.isnan(time) & np.isfinite(moment)
    # Without a time only the order of appearance is known, and users without anything new are in order already.
    tie = np.arange(len(user))
    rows = np.flatnonzero(np.isin(user, fresh.user) & ~np.isnan(time))
    rows = rows[_tied(user[rows], time[rows])]
    pairs = {
        "user": np.asarray(user_ids, object)[user[rows]],
        "item": np.asarray(item_ids, object)[item[rows]],
    }
    tie[rows] = tie_key(pd.DataFrame(pairs), config)
    order = np.lexsort((tie, late, moment, user))
    order, gone = _one_each(order, user, item, number, config.duplicates)
    if config.duplicates == "error" and gone != (0, 0):
        # What is known has no pair twice, so the first one beyond it is new.
        raise DataError(_twice(user, item, user_ids, item_ids))
    return Columns(user[order], item[order], rating[order], time[order]), gone


def _tied(user: NDArray[np.int64], time: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which interactions share their time with another one of their user, bool ``[N]``."""
    order = np.lexsort((time, user))
    same = (np.diff(user[order]) == 0) & (np.diff(time[order]) == 0)
    out = np.zeros(len(user), bool)
    out[order[1:][same]] = out[order[:-1][same]] = True
    return out


def _filled(known: Interactions) -> NDArray[np.float64]:
    """The time of each known interaction, or that of the latest one before it; -inf before the first one."""
    time = np.where(np.isnan(known.time), -np.inf, known.time)
    if not np.isnan(known.time).any():
        return time
    return np.asarray(pd.Series(time).groupby(known.user).cummax(), np.float64)


def _one_each(
    order: NDArray[np.int64],
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    number: int,
    rule: str,
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Keep one interaction of each pair with a new one, as ``data.duplicates`` says.

    Args:
        order: of all interactions.
        user: of each.
        item: of each.
        number: how many are known; the others are new.
        rule: the word of ``data.duplicates``.

    Returns:
        The order of those that stay; how many known and how many new ones do not.
    """
    if rule == "keep":
        return order, (0, 0)
    pair = user[order] * (int(item.max(initial=0)) + 1) + item[order]
    touched = np.isin(pair, pair[order >= number])
    twice = pd.Series(pair).duplicated(keep="last" if rule == "last" else "first")
    gone = touched & twice.to_numpy(bool)
    return order[~gone], (int((order[gone] < number).sum()), int((order[gone] >= number).sum()))


def _twice(
    user: NDArray[np.int64], item: NDArray[np.int64], user_ids: list[str], item_ids: list[str]
) -> str:
    """What to do about the first pair that is there twice."""
    pairs = pd.DataFrame({"user": user, "item": item})
    row = int(pairs.duplicated().to_numpy().argmax())
    return (
        f"user {short(user_ids[user[row]])!r} has item {short(item_ids[item[row]])!r} twice, at different times; the "
        "ranker was trained with data.duplicates=error: drop one of them"
    )
